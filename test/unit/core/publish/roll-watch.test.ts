import { describe, expect, it } from 'vitest';
import type { EngineApi, TaskFate } from '../../../../src/core/engine/engine-api.ts';
import { LABELS } from '../../../../src/core/publish/names.ts';
import { createRollWatch, SLOW_START_MS } from '../../../../src/core/publish/roll-watch.ts';
import { createManualClock } from '../../../fakes/manual-clock.ts';
import { service, snapshot, task } from '../../../support/snapshots.ts';

const NO_ROOM = 'no suitable node (host-mode port already in use on 2 nodes)';
const { signal } = new AbortController();

/** A proxy service whose roll is under way; `waits`: its task that has no node yet. */
function roll() {
  const clock = createManualClock();
  const state = { waits: 'a' };
  // Safe: the watch asks for nothing else.
  const engine = {
    listTaskFates: (): Promise<readonly TaskFate[]> =>
      Promise.resolve([
        {
          id: state.waits,
          updatedAt: '',
          containerLabels: { [LABELS.template]: 'new' },
          state: 'pending',
          desiredState: 'running',
          error: NO_ROOM,
        },
      ]),
  } as unknown as EngineApi;
  const watch = createRollWatch(engine, clock);
  const proxy = service({
    id: 'p',
    name: 'proxy',
    updateState: 'updating',
    containerLabels: { [LABELS.template]: 'new' },
  });
  const look = () => {
    const tasks = [task({ id: state.waits, serviceId: 'p', state: 'pending', desiredState: 'running' })];
    return watch.look(snapshot({ services: [proxy], tasks }), new Set(['proxy']), signal);
  };
  return { clock, state, look };
}

describe('roll watch', () => {
  it('says what Swarm says of a task that has waited too long, and not before', async () => {
    const { clock, look } = roll();
    expect(await look()).toEqual({ findings: [], holdMs: SLOW_START_MS });
    await clock.advance(SLOW_START_MS - 1);
    expect((await look()).findings).toEqual([]);
    await clock.advance(1);
    expect((await look()).findings).toMatchObject([{ code: 'PUBLISH.ROLL_STUCK', service: 'proxy', value: NO_ROOM }]);
  });

  it('a long roll in which one task after the other waits a moment is not stuck', async () => {
    const { clock, state, look } = roll();
    for (const id of ['a', 'b', 'c', 'd']) {
      state.waits = id;
      expect((await look()).findings).toEqual([]);
      await clock.advance(SLOW_START_MS - 1);
      expect((await look()).findings).toEqual([]);
    }
    await clock.advance(1);
    expect((await look()).findings).toHaveLength(1);
  });
});
