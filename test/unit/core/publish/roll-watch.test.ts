import { describe, expect, it } from 'vitest';
import type { EngineApi, TaskFate } from '../../../../src/core/engine/engine-api.ts';
import { LABELS } from '../../../../src/core/publish/names.ts';
import {
  createRollWatch,
  SILENT_GIVE_UP_MS,
  SILENT_START_MS,
  SLOW_START_MS,
} from '../../../../src/core/publish/roll-watch.ts';
import { createManualClock } from '../../../fakes/manual-clock.ts';
import { service, snapshot, task } from '../../../support/snapshots.ts';

const NO_ROOM = 'no suitable node (host-mode port already in use on 2 nodes)';
const { signal } = new AbortController();

/** A proxy service whose roll is under way; `waits`: its task that does not run yet, by default because it has no node. */
function roll(fate: Partial<TaskFate> = { error: NO_ROOM }) {
  const clock = createManualClock();
  const state: { waits: string; fate: Partial<TaskFate>; runs: boolean } = { waits: 'a', fate, runs: false };
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
          error: undefined,
          ...state.fate,
        },
      ]),
  } as unknown as EngineApi;
  const watch = createRollWatch(engine, clock);
  const look = () => {
    const updateState = state.runs ? 'completed' : 'updating';
    const proxy = service({ id: 'p', name: 'proxy', updateState, containerLabels: { [LABELS.template]: 'new' } });
    const tasks = [
      task({ id: state.waits, serviceId: 'p', state: state.runs ? 'running' : 'pending', desiredState: 'running' }),
    ];
    return watch.look(snapshot({ services: [proxy], tasks }), new Set(['proxy']), signal);
  };
  return { clock, state, look };
}

describe('roll watch', () => {
  it('says what Swarm says of a task that has waited too long, and not before', async () => {
    const { clock, look } = roll();
    expect(await look()).toEqual({ findings: [], givenUp: new Set(), holdMs: SLOW_START_MS });
    await clock.advance(SLOW_START_MS - 1);
    expect((await look()).findings).toEqual([]);
    await clock.advance(1);
    const { findings, givenUp } = await look();
    expect(findings).toMatchObject([{ code: 'PUBLISH.ROLL_STUCK', service: 'proxy', value: NO_ROOM }]);
    expect([...givenUp]).toEqual(['proxy']);
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

  it('a task of which Swarm names no error is said with its state, as an error only after a minute, and goes when it runs', async () => {
    const { clock, state, look } = roll({ state: 'preparing' });
    await look();
    await clock.advance(SLOW_START_MS - 1);
    expect((await look()).findings).toEqual([]);
    await clock.advance(1);
    const { findings, holdMs } = await look();
    expect(findings).toMatchObject([
      {
        code: 'PUBLISH.ROLL_SLOW',
        severity: 'warn',
        service: 'proxy',
        value: 'preparing: the node pulls the image, or waits for a registry that does not answer',
      },
    ]);
    expect(holdMs).toBeLessThan(SLOW_START_MS);
    await clock.advance(SILENT_START_MS - SLOW_START_MS);
    const stuck = await look();
    expect(stuck.findings).toMatchObject([{ code: 'PUBLISH.ROLL_STUCK', severity: 'error' }]);
    // A new roll would begin the pull anew.
    expect(stuck.givenUp.size).toBe(0);
    await clock.advance(SILENT_GIVE_UP_MS - SILENT_START_MS);
    expect([...(await look()).givenUp]).toEqual(['proxy']);
    state.runs = true;
    expect(await look()).toEqual({ findings: [], givenUp: new Set(), holdMs: undefined });
  });

  it('an error takes the place of silence', async () => {
    const { clock, state, look } = roll({ state: 'preparing' });
    await look();
    await clock.advance(SLOW_START_MS);
    expect((await look()).findings).toMatchObject([{ code: 'PUBLISH.ROLL_SLOW' }]);
    state.fate = { state: 'rejected', desiredState: 'shutdown', error: 'No such image' };
    expect((await look()).findings).toMatchObject([{ code: 'PUBLISH.ROLL_STUCK', value: 'No such image' }]);
  });

  it.each<[string, Partial<TaskFate>]>([
    ['waits for the end of the one before it', { state: 'ready', desiredState: 'ready' }],
    ['is of an older spec', { state: 'preparing', containerLabels: { [LABELS.template]: 'old' } }],
    ['shall not run any more', { state: 'preparing', desiredState: 'shutdown' }],
    ['was made a moment ago', { id: 'b', state: 'preparing' }],
  ])('nothing is said of a silent task that %s', async (_, fate) => {
    const { clock, look } = roll(fate);
    await look();
    await clock.advance(SILENT_START_MS);
    expect((await look()).findings).toEqual([]);
  });
});
