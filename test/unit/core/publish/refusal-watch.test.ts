import { describe, expect, it } from 'vitest';
import { createRefusalWatch } from '../../../../src/core/publish/refusal-watch.ts';
import { createManualClock } from '../../../fakes/manual-clock.ts';

describe('what the Engine refuses', () => {
  it('is tried again after 2 s, and then ever less often, down to once a minute', async () => {
    const clock = createManualClock(0);
    const watch = createRefusalWatch(clock);
    const waits: (number | undefined)[] = [];
    for (let tries = 0; tries < 8; tries += 1) {
      const ms = watch.note(['update-service proxy']);
      waits.push(ms);
      await clock.advance(ms ?? 0);
    }
    expect(waits).toEqual([2_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    expect(watch.isRefused).toBe(true);
  });

  it('is tried soon when it is another service, and not at all when nothing was refused', async () => {
    const clock = createManualClock(0);
    const watch = createRefusalWatch(clock);
    expect(watch.isRefused).toBe(false);
    watch.note(['update-service proxy']);
    await clock.advance(60_000);
    expect(watch.note(['update-service extension', 'update-service proxy'])).toBe(2_000);
    await clock.advance(10_000);
    expect(watch.note(['update-service proxy', 'update-service extension'])).toBe(10_000);
    expect(watch.note([])).toBeUndefined();
    expect(watch.isRefused).toBe(false);
    expect(watch.note(['update-service proxy'])).toBe(2_000);
  });
});
