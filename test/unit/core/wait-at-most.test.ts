import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { waitAtMost, waitForAny } from '../../../src/core/wait-at-most.ts';
import { createTrigger } from '../../../src/runtime/cell.ts';
import { createManualClock, settle } from '../../fakes/manual-clock.ts';

const forever = new AbortController().signal;

describe('waitAtMost', () => {
  it('says whether the trigger fired or the time passed', async () => {
    const [clock, trigger] = [createManualClock(), createTrigger()];
    trigger.fire();
    expect(await waitAtMost(100, trigger, clock, forever)).toBe(true);
    const waiting = waitAtMost(100, trigger, clock, forever);
    await clock.advance(100);
    expect(await waiting).toBe(false);
    expect(clock.sleepers()).toBe(0);
  });

  it('loses no trigger that fires in the same moment as the time', async () => {
    const [clock, trigger] = [createManualClock(), createTrigger()];
    const waiting = waitAtMost(100, trigger, { ...clock, sleep: async () => trigger.fire() }, forever);
    expect(await waiting).toBe(true);
  });

  it('rejects with the reason of the signal, and leaves nothing waiting', async () => {
    const [clock, trigger, stop] = [createManualClock(), createTrigger(), new AbortController()];
    const waiting = waitAtMost(100, trigger, clock, stop.signal);
    await settle();
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
    expect(clock.sleepers()).toBe(0);
  });
});

describe('waitForAny', () => {
  it('returns all that fired, not only the first', async () => {
    const [clock, one, two, three] = [createManualClock(), createTrigger(), createTrigger(), createTrigger()];
    const waiting = waitForAny(Number.POSITIVE_INFINITY, [one, two, three], clock, forever);
    await settle();
    one.fire();
    three.fire();
    expect(await waiting).toEqual(new Set([one, three]));
    expect(clock.sleepers()).toBe(0);
  });

  it('returns those that had fired before, without waiting, and each once', async () => {
    const [clock, one, two] = [createManualClock(), createTrigger(), createTrigger()];
    one.fire();
    one.fire();
    expect(await waitForAny(100, [one, two], clock, forever)).toEqual(new Set([one]));
    const again = waitForAny(100, [one, two], clock, forever);
    await clock.advance(100);
    expect(await again).toEqual(new Set());
  });

  it('leaves no listener and no sleeper behind, however it ends', async () => {
    const [clock, trigger, stop] = [createManualClock(), createTrigger(), new AbortController()];
    for (let count = 0; count < 1_000; count += 1) {
      const waiting = waitForAny(100, [trigger], clock, stop.signal);
      if (count % 2 === 0) {
        trigger.fire();
      } else {
        await clock.advance(100);
      }
      await waiting;
    }
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0);
    expect(clock.sleepers()).toBe(0);
    stop.abort(new Error('stopped'));
    await expect(waitForAny(100, [trigger], clock, stop.signal)).rejects.toThrow('stopped');
  });
});
