/** Where the agent's signals come from. `process` in a task; a plain EventEmitter in tests, which must not signal themselves. */
import type { AgentSignal } from './lifecycle.ts';
import { AGENT_SIGNALS } from './lifecycle.ts';

export interface SignalSource {
  on(name: AgentSignal, listener: () => void): unknown;
  removeListener(name: AgentSignal, listener: () => void): unknown;
}

/** Calls `onSignal` for every signal the agent handles until the returned function is called. */
export function listenToSignals(source: SignalSource, onSignal: (name: AgentSignal) => void): () => void {
  const listeners = AGENT_SIGNALS.map((name) => ({ name, listener: () => onSignal(name) }));
  for (const { name, listener } of listeners) {
    source.on(name, listener);
  }
  return () => {
    for (const { name, listener } of listeners) {
      source.removeListener(name, listener);
    }
  };
}
