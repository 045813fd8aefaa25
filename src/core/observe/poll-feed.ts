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

export function createPollFeed(engine: EngineApi, clock: Clock, options: PollFeedOptions): TaskFeed {
  return {
    kind: 'poll',
    async run(context, signal) {
      let nextFullAt = clock.now();
      for (;;) {
        signal.throwIfAborted();
        const converging = context.converging();
        if (clock.now() >= nextFullAt || converging.length === 0) {
          nextFullAt = clock.now() + options.pollMs;
          context.accept({ kind: 'all', tasks: await engine.listTasks(signal) });
        } else {
          const tasks = await engine.listTasks(signal, { serviceIds: converging });
          context.accept({ kind: 'services', serviceIds: converging, tasks });
        }
        const waitMs = context.converging().length > 0 ? options.convergingMs : options.pollMs;
        const leftMs = Math.min(waitMs, Math.max(0, nextFullAt - clock.now()));
        if (await waitAtMost(leftMs, context.lookNow, clock, signal)) {
          nextFullAt = clock.now();
        }
      }
    },
  };
}
