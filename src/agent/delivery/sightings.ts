/**
 * What NGINX could not reach of late, for core to look at. However many errors come: the addresses are few, each is told once a second at
 * most, and what nobody took in time is forgotten.
 */
import { createTrigger, type Trigger } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { SocketAddress } from '../../wire/contract.ts';
import { MAX_UNREACHED } from '../../wire/limits.ts';

export interface Sightings {
  /** False: there are too many already, and this one is left out. */
  note(address: SocketAddress): boolean;
  /** Whether another line is worth reading before the next report. */
  hasRoom(): boolean;
  /** Fires when there is something to take, at most once a second. */
  readonly due: Trigger;
  /** What was seen since the last call and is not stale. */
  take(): readonly SocketAddress[];
  /** Paces `due`; ends by throwing the signal's reason. */
  run(signal: AbortSignal): Promise<never>;
}

/** Between two reports. */
const EVERY_MS = 1_000;
/** Core was away so long that the picture it has now is younger. */
const STALE_MS = 5_000;

export function createSightings(clock: Clock): Sightings {
  const seen = new Map<string, { readonly address: SocketAddress; readonly atMs: number }>();
  const noted = createTrigger();
  const due = createTrigger();

  function forgetStale(): void {
    const now = clock.monotonic();
    for (const [key, { atMs }] of seen) {
      if (now - atMs > STALE_MS) {
        seen.delete(key);
      }
    }
  }

  return {
    due,
    hasRoom: () => seen.size < MAX_UNREACHED,
    note(address) {
      const key = `${address.address} ${address.port}`;
      if (!seen.has(key) && seen.size >= MAX_UNREACHED) {
        return false;
      }
      seen.set(key, { address, atMs: clock.monotonic() });
      noted.fire();
      return true;
    },
    take() {
      forgetStale();
      const taken = [...seen.values()].map(({ address }) => address);
      seen.clear();
      return taken;
    },
    async run(signal) {
      for (;;) {
        await noted.wait(signal);
        due.fire();
        await clock.sleep(EVERY_MS, signal);
        // Who had no session for it leaves it here; then it is of no more use, and in the way of others.
        forgetStale();
      }
    },
  };
}
