/** Answers to what people ask. Each call has a file of its own beside this one. */
import type { Snapshot } from '../../../model/snapshot.ts';
import type { ReadableCell } from '../../../runtime/cell.ts';
import type { Clock } from '../../../runtime/clock.ts';
import type { OperatorCalls } from '../../../wire/operator.ts';
import type { Board } from '../../board.ts';
import type { Handlers, ServeFacts } from '../handlers.ts';
import { type DoctorParts, diagnosis } from './doctor.ts';
import { compareReport, type RevisionParts, revisionsReport, rollback, unpin } from './revisions.ts';
import { routesReport } from './routes.ts';
import { servicesReport } from './services.ts';
import { statusReport } from './status.ts';
import { rotateTokens, type TokenParts } from './tokens.ts';

export interface OperatorParts extends RevisionParts, TokenParts {
  readonly board: Board;
  readonly handlers: Pick<Handlers, 'clusters'>;
  readonly facts: Pick<ServeFacts, 'version' | 'epoch' | 'taskFeed'>;
  readonly snapshots: ReadableCell<Snapshot>;
  readonly engine: DoctorParts['engine'];
  readonly clock: Pick<Clock, 'now'>;
  readonly startedAtMs: number;
}

export function createOperatorCalls(parts: OperatorParts): OperatorCalls {
  return {
    status: async () => statusReport(parts),
    routes: async (request) => routesReport(parts, request),
    services: (request, signal) => servicesReport(parts, request, signal),
    revisions: (request, signal) => revisionsReport(parts, request, signal),
    compare: (request, signal) => compareReport(parts, request, signal),
    rollback: (request, signal) => rollback(parts, request, signal),
    unpin: (request, signal) => unpin(parts, request, signal),
    rotateTokens: async (request) => rotateTokens(parts, request),
    diagnose: (_request, signal) => diagnosis(parts, signal),
  };
}
