/** Since when a network or a secret that a proxy service has is needed by nobody. Lost at a restart of core, which lets it stay longer. */
import type { Clock } from '../../runtime/clock.ts';

export interface UnusedWatch {
  /** Ids that are attached and not needed right now. */
  note(ids: readonly string[]): void;
  /** Those that have been unused for `lingerMs` or more. */
  overdue(lingerMs: number): ReadonlySet<string>;
  /** Until the next one is overdue; `undefined`: none is on its way. */
  dueInMs(lingerMs: number): number | undefined;
}

export function createUnusedWatch(clock: Clock): UnusedWatch {
  let since: ReadonlyMap<string, number> = new Map();
  return {
    note(ids) {
      since = new Map(ids.map((id) => [id, since.get(id) ?? clock.monotonic()]));
    },
    overdue: (lingerMs) =>
      new Set([...since].filter(([, start]) => clock.monotonic() - start >= lingerMs).map(([id]) => id)),
    dueInMs(lingerMs) {
      const left = [...since.values()].map((start) => start + lingerMs - clock.monotonic()).filter((ms) => ms > 0);
      return left.length === 0 ? undefined : Math.min(...left);
    },
  };
}
