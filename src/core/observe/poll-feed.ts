/** The feed that needs nothing but the Docker API: all tasks every `pollMs`, and those of converging services every `convergingMs`. */
import type { Clock } from '../../runtime/clock.ts';
import type { EngineApi } from '../engine/engine-api.ts';
import { waitAtMost } from '../wait-at-most.ts';
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
    async run({ picture, converging, lookNow, missesServiceOf, refresh }, signal) {
      let nextFullAt = clock.now();
      for (;;) {
        signal.throwIfAborted();
        const serviceIds = converging().slice(0, MAX_FILTERED);
        const since = picture.mark();
        if (clock.now() >= nextFullAt || serviceIds.length === 0) {
          nextFullAt = clock.now() + options.pollMs;
          const tasks = await engine.listTasks(signal, { known: picture.known.tasks });
          picture.acceptTasks({ kind: 'all', tasks }, since);
          if (missesServiceOf(tasks)) {
            refresh(['services']);
          }
        } else {
          const tasks = await engine.listTasks(signal, { serviceIds, known: picture.known.tasks });
          picture.acceptTasks({ kind: 'services', serviceIds, tasks }, since);
        }
        const waitMs = converging().length > 0 ? options.convergingMs : options.pollMs;
        const leftMs = Math.min(waitMs, Math.max(0, nextFullAt - clock.now()));
        if (await waitAtMost(leftMs, lookNow, clock, signal)) {
          nextFullAt = clock.now();
        }
      }
    },
  };
}
