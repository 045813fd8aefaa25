import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createUnreached, type Unreached } from '../../../../src/core/serve/unreached.ts';
import type { ClusterModel } from '../../../../src/model/cluster.ts';
import { createCell } from '../../../../src/runtime/cell.ts';
import { createManualClock, type ManualClock, settle } from '../../../fakes/manual-clock.ts';
import { ip, port } from '../../../support/snapshots.ts';
import { sampleModel } from '../../../support/wire.ts';

const at = (address: string, number = 80) => ({ address: ip(address), port: port(number) });

function modelOf(addresses: readonly (readonly [string, number])[]): ClusterModel {
  const model = sampleModel('a', addresses.length);
  return {
    ...model,
    pools: model.pools.map((pool, index) => {
      const [address, number] = addresses[index] ?? ['', 0];
      const source = { kind: 'task', taskId: `t${index}`, nodeId: 'n1' } as const;
      return { ...pool, services: [`s${index}`], endpoints: [{ ...at(address, number), weight: 1, source }] };
    }),
  };
}

let clock: ManualClock;
let unreached: Unreached;
let stop: AbortController;
let running: Promise<void>;
let looked: (readonly string[])[];
const model = createCell<{ readonly model: ClusterModel }>();

beforeEach(() => {
  clock = createManualClock(0);
  stop = new AbortController();
  looked = [];
  unreached = createUnreached({ name: 'default', model, lookAt: (names) => looked.push(names), clock });
  running = unreached.component.run(stop.signal).catch(() => undefined);
  model.set({
    model: modelOf([
      ['10.0.0.1', 80],
      ['10.0.0.1', 81],
      ['10.0.0.1', 80],
      ['0:0:0:0:0:0:fd00:5', 80],
    ]),
  });
});
afterEach(async () => {
  stop.abort();
  await running;
});

describe('what proxies could not reach', () => {
  it('has the services looked at that have the very address and port, each once', async () => {
    unreached.note([at('10.0.0.1'), at('10.0.0.1'), at('10.0.0.9')]);
    await settle();
    expect(looked).toEqual([['s0', 's2']]);
  });

  it('is found whichever way an IPv6 address is spelt', async () => {
    unreached.note([at('::fd00:5')]);
    await settle();
    expect(looked).toEqual([['s3']]);
  });

  it('has nobody looked at when the model routes nothing there, and none is there before the first model', async () => {
    unreached.note([at('10.0.0.2'), at('10.0.0.1', 8080), at('127.0.0.1', 2375)]);
    await settle();
    expect(looked).toEqual([]);
  });

  it('is gathered: four looks at the model a second, however many proxies complain', async () => {
    for (let round = 0; round < 1_000; round += 1) {
      unreached.note([at('10.0.0.1')]);
      await clock.advance(1);
    }
    expect(looked.length).toBeLessThanOrEqual(5);
  });

  it('is bounded: of very many addresses some are left out', async () => {
    unreached.note(Array.from({ length: 5_000 }, (_, index) => at(`10.1.${index >> 8}.${index & 255}`)));
    unreached.note([at('10.0.0.1')]);
    await settle();
    expect(looked).toEqual([]);
    await clock.advance(250);
    unreached.note([at('10.0.0.1')]);
    await settle();
    expect(looked).toEqual([['s0', 's2']]);
  });
});
