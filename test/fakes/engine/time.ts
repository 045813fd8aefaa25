/** Time of the fake Engine: real, or moved by hand. */

export interface FakeTime {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs `step` once after `ms`, unless the returned function is called before. */
  after(ms: number, step: () => void): () => void;
}

export const realTime: FakeTime = {
  now: () => Date.now(),
  after(ms, step) {
    const timer = setTimeout(step, ms);
    return () => clearTimeout(timer);
  },
};

export interface ManualTime extends FakeTime {
  /** Runs everything that falls due within the next `ms`, in order of time, follow-ups included. */
  advance(ms: number): void;
}

export function createManualTime(startMs = Date.UTC(2026, 0, 1)): ManualTime {
  const state = { nowMs: startMs };
  const due = new Set<{ readonly atMs: number; readonly step: () => void }>();
  const nextUntil = (untilMs: number) =>
    [...due]
      .filter((entry) => entry.atMs <= untilMs)
      .reduce<{ atMs: number; step: () => void } | undefined>(
        (first, entry) => (first === undefined || entry.atMs < first.atMs ? entry : first),
        undefined,
      );
  return {
    now: () => state.nowMs,
    after(ms, step) {
      const entry = { atMs: state.nowMs + ms, step };
      due.add(entry);
      return () => due.delete(entry);
    },
    advance(ms) {
      const untilMs = state.nowMs + ms;
      for (let next = nextUntil(untilMs); next !== undefined; next = nextUntil(untilMs)) {
        due.delete(next);
        state.nowMs = next.atMs;
        next.step();
      }
      state.nowMs = untilMs;
    },
  };
}
