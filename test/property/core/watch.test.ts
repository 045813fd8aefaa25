/** Whatever happens to the stream and in whatever order news arrives: in the end the Snapshot is what a full list says. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFeedChoice } from '../../../src/core/observe/feed-choice.ts';
import { createObserver } from '../../../src/core/observe/observer.ts';
import { createPollFeed } from '../../../src/core/observe/poll-feed.ts';
import { createWatchFeed } from '../../../src/core/observe/watch-feed.ts';
import { createLogger } from '../../../src/runtime/logging.ts';
import { runComponents } from '../../../src/runtime/supervisor.ts';
import { createManualClock, settle } from '../../fakes/manual-clock.ts';
import { createWatchedSwarm, type WatchedSwarm } from '../../fakes/watched-swarm.ts';

type Act = (swarm: WatchedSwarm) => void;

const id = fc.integer({ min: 1, max: 4 });
const failure = fc.constantFrom('ended', 'broken', 'refused', 'no-socket', 'untrusted', 'cannot-resume' as const);

/** Each act with the name that a counterexample shows. */
const acts: fc.Arbitrary<readonly [string, Act]> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ task: id, service: id, down: fc.boolean() }).map((of): readonly [string, Act] => [
      `task ${JSON.stringify(of)}`,
      (swarm) =>
        swarm.putTask({
          id: `task${of.task}`,
          serviceId: `svc${of.service}`,
          desiredState: of.down ? 'shutdown' : 'running',
        }),
    ]),
  },
  {
    weight: 3,
    arbitrary: id.map((n): readonly [string, Act] => [
      `remove task${n}`,
      // A task that comes back under its old id is harder than the real thing: Swarm never gives an id twice.
      (swarm) => swarm.remove('task', `task${n}`),
    ]),
  },
  id.map((n): readonly [string, Act] => [`service ${n}`, (swarm) => swarm.putService({ id: `svc${n}` })]),
  id.map((n): readonly [string, Act] => [`node ${n}`, (swarm) => swarm.putNode({ id: `node${n}`, state: 'down' })]),
  failure.map((why): readonly [string, Act] => [`cut ${why}`, (swarm) => swarm.cut(why)]),
  fc
    .option(failure, { nil: undefined })
    .map((why): readonly [string, Act] => [`new streams: ${why}`, (swarm) => swarm.setFailure(why)]),
  fc.integer({ min: 1, max: 3 }).map((n): readonly [string, Act] => [`lose ${n}`, (swarm) => swarm.lose(n)]),
  fc.constant<readonly [string, Act]>(['hold', (swarm) => swarm.hold()]),
  fc.constant<readonly [string, Act]>(['release', (swarm) => swarm.release()]),
  fc.constant<readonly [string, Act]>(['release twice', (swarm) => swarm.release((held) => [...held, ...held])]),
  fc.constant<readonly [string, Act]>(['release backwards', (swarm) => swarm.release((held) => held.toReversed())]),
  fc.constant<readonly [string, Act]>(['compact', (swarm) => swarm.compact()]),
  fc.boolean().map((broken): readonly [string, Act] => [`lists fail: ${broken}`, (swarm) => swarm.setBroken(broken)]),
);

/** Time passes or not between two acts: lists are under way while events arrive. */
const steps = fc.array(fc.record({ act: acts, pauseMs: fc.constantFrom(-1, -1, 0, 100, 3_000, 60_000) }), {
  maxLength: 40,
});

describe('the picture under any fault', () => {
  it('is in the end what a full list says', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (script) => {
        const swarm = createWatchedSwarm();
        const clock = createManualClock();
        const stop = new AbortController();
        const tools = { clock, logger: createLogger({ level: 'silent', component: 'test' }) };
        const poll = createPollFeed(swarm.engine, clock, { pollMs: 3_000, convergingMs: 250 });
        const watch = createWatchFeed(swarm.engine, swarm.watch, tools, { socketPath: '/none', driftMs: 60_000 });
        const feed = createFeedChoice('auto', { poll, watch }, tools);
        const observer = createObserver(swarm.engine, feed, tools, { resyncMs: 60_000 });
        const running = runComponents(observer.components, stop.signal, tools.logger);
        try {
          for (const { act, pauseMs } of script) {
            act[1](swarm);
            if (pauseMs >= 0) {
              await clock.advance(pauseMs);
            }
          }
          swarm.setFailure(undefined);
          swarm.setBroken(false);
          swarm.release();
          await clock.advance(130_000);
          await settle();
          const snapshot = observer.snapshots.get();
          expect(feed.status.get()?.kind).toBe('watch');
          expect(sorted(snapshot?.tasks)).toEqual(sorted(swarm.parts.task.values()));
          expect(sorted(snapshot?.services)).toEqual(sorted(swarm.parts.service.values()));
          expect(sorted(snapshot?.nodes)).toEqual(sorted(swarm.parts.node.values()));
        } finally {
          stop.abort();
          await running;
        }
      }),
      { numRuns: 150 },
    );
  });
});

function sorted<Part extends { readonly id: string }>(parts: Iterable<Part> | undefined): readonly Part[] {
  return [...(parts ?? [])].sort((a, b) => (a.id < b.id ? -1 : 1));
}
