import { getEventListeners } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type BackoffOptions, createBackoff } from '../../../src/runtime/backoff.ts';
import { abortReason, systemClock } from '../../../src/runtime/clock.ts';
import { createManualClock, type ManualClock } from '../../fakes/manual-clock.ts';

const forever = new AbortController().signal;
const options: BackoffOptions = { firstMs: 100, maxMs: 10_000, healthyAfterMs: 10_000, random: () => 1 - 2 ** -53 };

describe('createBackoff', () => {
  it('doubles up to its limit', async () => {
    const clock = createManualClock();
    const backoff = createBackoff(clock, options);
    const delays: number[] = [];
    for (let attempt = 0; attempt < 9; attempt += 1) {
      backoff.begin();
      delays.push(await waited(clock, backoff));
    }

    expect(delays.map(Math.round)).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
  });

  it('waits at least half of the step', async () => {
    const clock = createManualClock();
    const backoff = createBackoff(clock, { ...options, random: () => 0 });

    expect(await waited(clock, backoff)).toBe(50);
  });

  it('begins again after a healthy spell, and only then', async () => {
    const clock = createManualClock();
    const backoff = createBackoff(clock, options);
    await fail(clock, backoff, 4);
    backoff.begin();
    await clock.advance(9_999);
    expect(backoff.streak()).toBe(4);

    await clock.advance(1);

    expect(backoff.streak()).toBe(0);
    expect(Math.round(await waited(clock, backoff))).toBe(100);
  });

  it('does not take its own long wait for a healthy spell', async () => {
    const clock = createManualClock();
    const backoff = createBackoff(clock, options);
    await fail(clock, backoff, 12);

    expect(backoff.streak()).toBe(12);
    expect(Math.round(await waited(clock, backoff))).toBe(10_000);
  });

  it('stops waiting when told to', async () => {
    const stop = new AbortController();
    const waiting = createBackoff(createManualClock(), options).wait(stop.signal);
    stop.abort(new Error('stop'));

    await expect(waiting).rejects.toThrow('stop');
  });
});

describe('systemClock', () => {
  afterEach(() => vi.useRealTimers());

  it('rejects at once when the signal has aborted, and with an Error whatever the reason is', async () => {
    await expect(systemClock.sleep(60_000, AbortSignal.abort('words'))).rejects.toMatchObject({ cause: 'words' });
    expect(abortReason(AbortSignal.abort('words'))).toBeInstanceOf(Error);
  });

  it('leaves no listener and no timer behind', async () => {
    const stop = new AbortController();
    await systemClock.sleep(1, stop.signal);
    const aborted = systemClock.sleep(60_000, stop.signal);
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(1);
    stop.abort(new Error('stop'));

    await expect(aborted).rejects.toThrow('stop');
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0);
  });

  it('sleeps for longer than one timer can', async () => {
    vi.useFakeTimers();
    const monthMs = 30 * 24 * 3_600_000;
    let woke = false;
    const sleeping = systemClock.sleep(monthMs, forever).then(() => {
      woke = true;
    });

    await vi.advanceTimersByTimeAsync(monthMs - 1);
    expect(woke).toBe(false);
    await vi.advanceTimersByTimeAsync(1);

    await sleeping;
  });
});

async function fail(clock: ManualClock, backoff: ReturnType<typeof createBackoff>, times: number): Promise<void> {
  for (let attempt = 0; attempt < times; attempt += 1) {
    backoff.begin();
    await waited(clock, backoff);
  }
}

async function waited(clock: ManualClock, backoff: ReturnType<typeof createBackoff>): Promise<number> {
  const waiting = backoff.wait(forever);
  await clock.advance(10_000);
  return waiting;
}
