/**
 * The feed that needs nothing but the Docker API: all tasks every `pollMs`, those of converging services every `convergingMs`, and those of
 * services that a proxy could not reach at once.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { EngineApi } from '../engine/engine-api.ts';
import { waitForAny } from '../wait-at-most.ts';
import type { TaskFeed } from './task-feed.ts';

export interface PollFeedOptions {
  /** `PollInterval`, in ms. */
  readonly pollMs: number;
  /** Between two looks at services that are on the move, in ms. */
  readonly convergingMs: number;
}

/** A filter travels in the URL, with about 30 characters for each service. Beyond this many, the rest waits for the list of all. */
const MAX_FILTERED = 200;

export function createPollFeed(engine: EngineApi, clock: Clock, options: PollFeedOptions): TaskFeed {
  return {
    async run({ picture, converging, lookNow, servicesListed, looks, missesServiceOf, refresh }, signal) {
      let nextFullAt = clock.monotonic();
      /** Woken for some services alone: where none is to be looked at, nothing is listed. */
      let forSome = false;
      for (;;) {
        signal.throwIfAborted();
        const suspects = looks.due();
        const serviceIds = [...new Set([...suspects, ...converging()])].slice(0, MAX_FILTERED);
        const since = picture.mark();
        if (clock.monotonic() >= nextFullAt || (serviceIds.length === 0 && !forSome)) {
          nextFullAt = clock.monotonic() + options.pollMs;
          const tasks = await engine.listTasks(signal, { known: picture.known.tasks });
          picture.acceptTasks({ kind: 'all', tasks }, since);
          if (missesServiceOf(tasks)) {
            refresh(['services']);
          }
        } else if (serviceIds.length > 0) {
          const tasks = await engine.listTasks(signal, { serviceIds, known: picture.known.tasks });
          picture.acceptTasks({ kind: 'services', serviceIds, tasks }, since);
        }
        looks.looked(suspects);
        const waitMs = converging().length > 0 ? options.convergingMs : options.pollMs;
        const leftMs = Math.min(waitMs, Math.max(0, nextFullAt - clock.monotonic()));
        const looksMs = looks.nextInMs();
        const triggers = [lookNow, servicesListed, looks.trigger];
        const fired = await waitForAny(Math.min(leftMs, looksMs), triggers, clock, signal);
        forSome = fired.has(servicesListed) || fired.has(looks.trigger) || looksMs < leftMs;
        if (fired.has(lookNow)) {
          nextFullAt = clock.monotonic();
        }
      }
    },
  };
}
