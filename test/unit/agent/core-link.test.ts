/** The agent's session as core hears it: what is said of endpoints that NGINX could not reach, and to whom. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { followCore, type Order } from '../../../src/agent/delivery/core-link.ts';
import { createSightings, type Sightings } from '../../../src/agent/delivery/sightings.ts';
import { NOTHING_YET, type Standing } from '../../../src/agent/delivery/standing.ts';
import type { IpAddress, Port } from '../../../src/model/names.ts';
import { type Cell, createCell } from '../../../src/runtime/cell.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import type { WireClient } from '../../../src/wire/client.ts';
import type { AgentDirective, AgentWord } from '../../../src/wire/contract.ts';
import { createManualClock, type ManualClock, settle } from '../../fakes/manual-clock.ts';
import { silent } from '../../support/wire.ts';

const address = { address: '10.0.0.1' as IpAddress, port: 80 as Port };
let clock: ManualClock;
let sightings: Sightings;
let standing: Cell<Standing>;
let directives: Cell<AgentDirective | 'end'>;
let stop: AbortController;
let running: Promise<unknown>;
let heard: AgentWord[];
const counted = { reports: 0 };

/** One session after the other: what the agent says is heard, what a test sets is told. */
const client: Pick<WireClient, 'agentSession'> = {
  async *agentSession(_hello, words, signal) {
    const over = new AbortController();
    const listening = (async () => {
      for await (const word of words(over.signal)) {
        heard.push(word);
      }
    })().catch(() => undefined);
    try {
      for await (const directive of directives.watch(signal)) {
        if (directive === 'end') {
          return;
        }
        yield directive;
      }
    } finally {
      over.abort();
      await listening;
    }
  },
};

beforeEach(() => {
  clock = createManualClock(0);
  sightings = createSightings(clock);
  standing = createCell<Standing>(NOTHING_YET);
  directives = createCell<AgentDirective | 'end'>();
  stop = new AbortController();
  heard = [];
  counted.reports = 0;
  const parts = {
    client,
    task: { taskId: 't', nodeId: 'n', proxyVersion: '' },
    standing,
    orders: createCell<Order>(),
    sightings,
    onUnreachedReport: () => {
      counted.reports += 1;
    },
    clock: { ...clock, sleep: (ms: number, signal: AbortSignal) => systemClock.sleep(Math.min(ms, 1), signal) },
    logger: silent,
  };
  running = Promise.allSettled([followCore(parts, stop.signal), sightings.run(stop.signal)]);
});
afterEach(async () => {
  stop.abort();
  await running;
});

const unreachedHeard = () => heard.filter((word) => 'unreached' in word);

describe('what NGINX could not reach', () => {
  it('is told to a core that asks for it, once a second at most though other news come between', async () => {
    directives.set({ kind: 'none', takesUnreached: true });
    await settle();
    for (let round = 0; round < 20; round += 1) {
      sightings.note(address);
      const serving = { digest: 'a'.repeat(64), durationMs: round, findings: [] };
      standing.set({ serving, refused: undefined, draining: false });
      await clock.advance(100);
    }
    expect(unreachedHeard().length).toBeGreaterThanOrEqual(2);
    expect(unreachedHeard().length).toBeLessThanOrEqual(3);
    expect(counted.reports).toBe(unreachedHeard().length);
    expect(unreachedHeard()[0]).toEqual({ unreached: [address] });
    expect(heard.length).toBeGreaterThan(unreachedHeard().length);
  });

  it('is never told to a core that does not, whatever an earlier one said', async () => {
    directives.set({ kind: 'none' });
    await settle();
    sightings.note(address);
    await clock.advance(1_000);
    expect(heard).toEqual([]);

    directives.set({ kind: 'none', takesUnreached: true });
    await settle();
    sightings.note(address);
    await clock.advance(1_000);
    expect(unreachedHeard().length).toBeGreaterThan(0);

    directives.set('end');
    await settle();
    const before = unreachedHeard().length;
    directives.set({ kind: 'none' });
    await systemClock.sleep(20, stop.signal);
    sightings.note(address);
    await clock.advance(5_000);
    expect(unreachedHeard()).toHaveLength(before);
  });
});
