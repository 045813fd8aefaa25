import { describe, expect, it } from 'vitest';
import { createSettling, STORE_PACE } from '../../../../src/core/publish/settling.ts';
import { createManualClock } from '../../../fakes/manual-clock.ts';

function settling() {
  const clock = createManualClock();
  return { clock, store: createSettling(clock, STORE_PACE) };
}

describe('settling', () => {
  it('is due at once when nothing waits', () => {
    expect(settling().store.dueInMs()).toBe(0);
  });

  it('waits for quiet, and each change begins it anew', async () => {
    const { clock, store } = settling();
    store.note('a');
    expect(store.dueInMs()).toBe(5_000);
    await clock.advance(4_000);
    store.note('a');
    expect(store.dueInMs()).toBe(1_000);
    store.note('b');
    expect(store.dueInMs()).toBe(5_000);
  });

  it('does not wait for ever', async () => {
    const { clock, store } = settling();
    for (let second = 0; second < 28; second += 4) {
      store.note(`change ${second}`);
      await clock.advance(4_000);
    }
    store.note('last');
    expect(store.dueInMs()).toBe(2_000);
  });

  it('keeps its distance from the last time', async () => {
    const { clock, store } = settling();
    store.note('a');
    await clock.advance(5_000);
    store.done();
    expect(store.dueInMs()).toBe(0);
    await clock.advance(1_000);
    store.note('b');
    expect(store.dueInMs()).toBe(29_000);
  });

  it.each([-3_600_000, 3_600_000])('goes by no time of day: one that is set by %i ms changes nothing', async (byMs) => {
    const { clock, store } = settling();
    store.note('a');
    await clock.advance(5_000);
    store.done();
    store.note('b');
    clock.set(byMs);
    expect(store.dueInMs()).toBe(30_000);
    await clock.advance(30_000);
    expect(store.dueInMs()).toBe(0);
  });

  it('forgets what was taken back', async () => {
    const { clock, store } = settling();
    store.note('a');
    await clock.advance(4_000);
    store.note(undefined);
    expect(store.dueInMs()).toBe(0);
    store.note('a');
    expect(store.dueInMs()).toBe(5_000);
  });
});
