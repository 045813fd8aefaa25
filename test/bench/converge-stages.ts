/** Where the time of changes went on a real Swarm, by the daemons' own metrics: the difference between two readings. */
import { askAllTasks } from '../support/ask-tasks.ts';
import type { Interlock } from '../support/interlock.ts';

/** In the order of the flow. `whole` is from the picture to the last report; what stands below `answer` and `deliver` are parts of them. */
export const STAGES = [
  'build',
  'answer',
  'render',
  'check',
  'submit',
  'deliver',
  'fetch',
  'fit',
  'write',
  'reload',
  'store',
  'whole',
] as const;

/** Means, in ms; a stage that no change went through is left out. */
export type StagesMs = Readonly<Partial<Record<(typeof STAGES)[number], number>>>;

interface Total {
  readonly seconds: number;
  readonly count: number;
}

export type StageTotals = ReadonlyMap<string, Total>;

const DAEMONS = ['interlock_core', 'interlock-extension', 'interlock-proxy'];

/** Of all tasks together. */
export async function readStages(interlock: Interlock): Promise<StageTotals> {
  const totals = new Map<string, { seconds: number; count: number }>();
  for (const service of DAEMONS) {
    for (const { status, body } of await askAllTasks(interlock, 'interlock_core', service, '/metrics')) {
      if (status !== 200) {
        throw new Error(`a task of ${service} answers ${status}`);
      }
      for (const [, part = '', labels = '', value = ''] of body.matchAll(
        /^interlock_convergence_stage_seconds_(sum|count)\{([^}]*)\} (\S+)$/gm,
      )) {
        const stage = /stage="([^"]*)"/.exec(labels)?.[1] ?? '';
        const total = totals.get(stage) ?? { seconds: 0, count: 0 };
        totals.set(stage, total);
        total[part === 'sum' ? 'seconds' : 'count'] += Number(value);
      }
    }
  }
  return totals;
}

/** What the daemons printed since then, by time, and what kept that from being read; lines with `leftOut` in them not. */
export async function logsSince(interlock: Interlock, since: Date, leftOut: string): Promise<string> {
  const options = ['service', 'logs', '--timestamps', '--since', since.toISOString()];
  const texts = await Promise.all(
    DAEMONS.map((service) => interlock.cliWords(...options, service).catch((error: unknown) => String(error))),
  );
  const lines = texts.flatMap((text) => text.split('\n'));
  return lines
    .filter((line) => line !== '' && !line.includes(leftOut))
    .sort()
    .join('\n');
}

export function stagesBetween(before: StageTotals, after: StageTotals): StagesMs {
  return Object.fromEntries(
    STAGES.flatMap((stage) => {
      const [old, now] = [before.get(stage), after.get(stage)];
      const count = (now?.count ?? 0) - (old?.count ?? 0);
      const seconds = (now?.seconds ?? 0) - (old?.seconds ?? 0);
      return count <= 0 ? [] : [[stage, Math.round((seconds / count) * 10_000) / 10]];
    }),
  );
}

/**
 * From the answer of the API call to the revised model in core's log, in ms: the feed, and building the model. The log's clock is this
 * machine's. One per change, those without a revision within a second left out.
 */
export async function feedMs(interlock: Interlock, changedAtMs: readonly number[]): Promise<readonly number[]> {
  const revised = (await interlock.coreLog())
    .filter(({ msg }) => msg === 'model revised')
    .map(({ time }) => Date.parse(String(time)));
  return changedAtMs.flatMap((at) => {
    // The call answers after the change was written: the watch may have told of it already.
    const first = revised.find((time) => time >= at - 50 && time < at + 1_000);
    return first === undefined ? [] : [first - at];
  });
}
