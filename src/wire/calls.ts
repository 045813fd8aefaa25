/** The calls a server is serving: each with its own signal and its end, so that a stop can end and await all of them. */

export type CallKind = 'stream' | 'unary';

export interface LiveCalls {
  /** Runs one call and remembers it until it has ended. `serve` never rejects. */
  run(kind: CallKind, scope: AbortController, serve: () => Promise<void>): void;
  /** Aborts the calls of one kind. */
  abort(kind: CallKind, reason: Error): void;
  /** Resolves when no call is left. */
  settled(): Promise<void>;
}

interface LiveCall {
  readonly kind: CallKind;
  readonly scope: AbortController;
  readonly end: Promise<void>;
}

export function createLiveCalls(): LiveCalls {
  const live = new Set<LiveCall>();
  return {
    run(kind, scope, serve) {
      const call: LiveCall = { kind, scope, end: serve().finally(() => live.delete(call)) };
      live.add(call);
    },
    abort(kind, reason) {
      for (const call of [...live].filter((each) => each.kind === kind)) {
        call.scope.abort(reason);
      }
    },
    async settled() {
      await Promise.all([...live].map((call) => call.end));
    },
  };
}
