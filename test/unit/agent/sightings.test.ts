import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSightings, type Sightings } from '../../../src/agent/delivery/sightings.ts';
import type { IpAddress, Port } from '../../../src/model/names.ts';
import { createManualClock, type ManualClock, settle } from '../../fakes/manual-clock.ts';

const at = (address: string, port = 80) => ({ address: address as IpAddress, port: port as Port });
let clock: ManualClock;
let sightings: Sightings;
let stop: AbortController;
let running: Promise<unknown>;
const reports: number[] = [];

beforeEach(() => {
  clock = createManualClock(0);
  stop = new AbortController();
  sightings = createSightings(clock);
  reports.length = 0;
  const taking = async (): Promise<never> => {
    for (;;) {
      await sightings.due.wait(stop.signal);
      reports.push(sightings.take().length);
    }
  };
  running = Promise.allSettled([sightings.run(stop.signal), taking()]);
});
afterEach(async () => {
  stop.abort();
  await running;
});

describe('what NGINX could not reach', () => {
  it('is told at once, each address once, and then once a second however many errors there are', async () => {
    await settle();
    sightings.note(at('10.0.0.1'));
    await settle();
    expect(reports).toEqual([1]);
    for (let round = 0; round < 1_000; round += 1) {
      sightings.note(at('10.0.0.1'));
      sightings.note(at('10.0.0.1', 81));
      await clock.advance(10);
    }
    expect(reports.length).toBeGreaterThanOrEqual(10);
    expect(reports.length).toBeLessThanOrEqual(11);
    expect(new Set(reports.slice(1))).toEqual(new Set([2]));
  });

  it('is at most 64 addresses in one report', async () => {
    await settle();
    const taken = Array.from({ length: 100 }, (_, index) => sightings.note(at(`10.0.0.${index}`)));
    expect(taken.filter(Boolean)).toHaveLength(64);
    expect(sightings.hasRoom()).toBe(false);
    await settle();
    expect(reports).toEqual([64]);
    expect(sightings.hasRoom()).toBe(true);
  });

  it('is forgotten when nobody takes it in time', async () => {
    stop.abort();
    await running;
    stop = new AbortController();
    running = Promise.allSettled([sightings.run(stop.signal)]);
    sightings.note(at('10.0.0.1'));
    await clock.advance(6_000);
    expect(sightings.take()).toEqual([]);
  });
});
