/** Answers to what people ask. Each call has a file of its own beside this one. */
import type { OperatorCalls } from '../../../wire/operator.ts';
import type { Board } from '../../board.ts';
import type { Handlers, ServeFacts } from '../handlers.ts';
import { statusReport } from './status.ts';

export interface OperatorParts {
  readonly board: Board;
  readonly handlers: Pick<Handlers, 'clusters'>;
  readonly facts: ServeFacts;
}

export function createOperatorCalls({ board, handlers, facts }: OperatorParts): OperatorCalls {
  return {
    status: async () => statusReport(board, handlers, facts),
  };
}
