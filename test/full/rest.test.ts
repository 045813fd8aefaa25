/**
 * Nothing changed, nothing written: the version indexes of everything core could write, over ten minutes on a real Swarm of three nodes,
 * with a cluster in hitless mode and one in classic mode.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSwarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock, type TaskJson } from '../support/interlock.ts';

const REST_MS = 10 * 60_000;

let interlock: Interlock;
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  const swarm = await startSwarm({ name: 'rest', nodes: 3 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, defaultConfig({ replicas: 2 }) + CLASSIC);
  cleanUps.unshift(() => interlock.down());
  const networks = await Promise.all(['one', 'two'].map((name) => interlock.createNetwork(name)));
  await interlock.createApp({ name: 'app', networks, replicas: 3, lb: { hosts: 'app.local', port: '8080' } });
  await interlock.createApp({
    name: 'old',
    networks: networks.slice(0, 1),
    lb: { hosts: 'old.local', port: '8080', service_cluster: 'classic' },
  });
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

const CLASSIC = `
[Extensions.classic]
Image = "interlock/extension:dev"
ServiceName = "classic-extension"
ServiceCluster = "classic"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "classic-proxy"
HitlessServiceUpdate = false
PublishMode = "host"
PublishedPort = 8090
`;

interface Versioned {
  readonly Version?: { readonly Index: number };
  readonly ID?: string;
  readonly Id?: string;
  readonly Spec?: { readonly Name?: string };
}

/** Version indexes by kind and name; networks have none, so their ids. */
async function versions(): Promise<Readonly<Record<string, number | string>>> {
  const { docker } = interlock;
  // Shapes: Engine API, the list calls.
  const lists = {
    service: (await docker.listServices()) as unknown as readonly Versioned[],
    config: (await docker.listConfigs()) as unknown as readonly Versioned[],
    secret: (await docker.listSecrets()) as unknown as readonly Versioned[],
    network: (await docker.listNetworks({ filters: { scope: ['swarm'] } })) as unknown as readonly Versioned[],
  };
  const tasks = (await docker.listTasks()) as readonly TaskJson[];
  const all = Object.entries(lists).flatMap(([kind, list]) =>
    list.map(({ ID, Id, Spec, Version }) => [`${kind} ${Spec?.Name ?? ID ?? Id ?? ''}`, Version?.Index ?? 'there']),
  );
  return Object.fromEntries([...all, ...tasks.map(({ ID, Status }) => [`task ${ID}`, Status.State])]) as Record<
    string,
    number | string
  >;
}

/** Everything stored and rolled: nothing has moved for a while that is longer than anything of core's that waits for quiet. */
async function untilAtRest(): Promise<Readonly<Record<string, number | string>>> {
  const last = { text: '', since: 0 };
  await eventually(
    async () => {
      const text = JSON.stringify(await versions());
      if (text !== last.text) {
        Object.assign(last, { text, since: Date.now() });
      }
      return Date.now() - last.since > 40_000;
    },
    { timeoutMs: 240_000, everyMs: 1_000 },
  );
  return versions();
}

const writesIn = (log: readonly Record<string, unknown>[]) =>
  log.filter(({ msg }) => typeof msg === 'string' && /step executed|service removed|config removed/.test(msg));

describe('a Swarm in which nothing changes', () => {
  it(
    'sees no write in ten minutes',
    async () => {
      await interlock.untilAll('app.local', ({ status }) => status === 200, { proxies: 2, timeoutMs: 180_000 });
      const before = await untilAtRest();
      expect(Object.keys(before).filter((name) => name.startsWith('config com.docker.interlock.proxy.'))).not.toEqual(
        [],
      );
      const written = writesIn(await interlock.coreLog()).length;
      expect(written).toBeGreaterThan(0);

      await pause(REST_MS); // the time itself is what is claimed

      expect(await versions()).toEqual(before);
      expect(writesIn(await interlock.coreLog())).toHaveLength(written);
      await interlock.untilAll('app.local', ({ status }) => status === 200, { proxies: 2 });
    },
    REST_MS + 600_000,
  );
});
