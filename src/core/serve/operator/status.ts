/** How things stand: of core, of each cluster, and all findings. */
import type { StatusReport } from '../../../wire/status-report.ts';
import type { Board } from '../../board.ts';
import type { Handlers, ServeFacts } from '../handlers.ts';

export function statusReport(
  board: Pick<Board, 'findings'>,
  handlers: Pick<Handlers, 'clusters'>,
  facts: Pick<ServeFacts, 'version' | 'epoch' | 'taskFeed'>,
): StatusReport {
  return {
    version: facts.version,
    epoch: facts.epoch,
    taskFeed: facts.taskFeed(),
    clusters: handlers.clusters(),
    findings: board.findings(),
  };
}
