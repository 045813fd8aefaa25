/**
 * Faults on a real Swarm of three nodes, hitless delivery, changes heard by the watch. Each test makes the same claim: the last good
 * configuration serves, and the newest one arrives by itself. Nodes, engines and managers that are lost: test/full.
 */
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LABELS } from '../../../src/core/publish/names.ts';
import { type Swarm, startSwarm } from '../../support/bed.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock, STACK } from '../../support/interlock.ts';

const PROXIES = 2;
const PATIENCE = { timeoutMs: 120_000, everyMs: 200 };
let swarm: Swarm;
let interlock: Interlock;
const cleanUps: (() => Promise<void>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  swarm = await startSwarm({ name: 'faults', nodes: 3, fastHeartbeat: true });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, defaultConfig({ replicas: PROXIES }));
  cleanUps.unshift(() => interlock.down());
  await interlock.createNetwork('app');
  await interlock.createApp({
    name: 'demo',
    networks: ['app'],
    replicas: 2,
    lb: { hosts: 'demo.local', port: '8080' },
    constraints: ['node.hostname==n2'],
  });
  await arrives('demo.local');
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

const serves = (answer: { readonly status: number; readonly body: string }) =>
  answer.status === 200 && answer.body.startsWith('demo');

/** Through every proxy. */
async function arrives(host: string): Promise<void> {
  await interlock.untilAll(host, serves, { proxies: PROXIES, timeoutMs: 120_000 });
}

async function rename(...hosts: readonly string[]): Promise<void> {
  await interlock.updateService('demo', (spec) => {
    spec.Labels['com.docker.lb.hosts'] = ['demo.local', ...hosts].join();
  });
}

interface Versioned {
  readonly Spec: { readonly Name: string; readonly Labels?: Readonly<Record<string, string>>; readonly Data?: string };
  readonly Version: { readonly Index: number };
}

async function storedConfigs(): Promise<readonly Versioned[]> {
  // Shape: Engine API `GET /configs`, which has the data too.
  const configs = (await interlock.docker.listConfigs()) as unknown as readonly Versioned[];
  return configs.filter(({ Spec }) => Spec.Labels?.[LABELS.digest] !== undefined);
}

/** Version indexes of everything core wrote: equal before and after means that nothing was written. */
async function ownVersions(): Promise<Readonly<Record<string, number>>> {
  const services = await Promise.all(
    ['interlock-extension', 'interlock-proxy'].map((name) => interlock.inspectService(name)),
  );
  const secrets = (await interlock.docker.listSecrets()) as unknown as readonly Versioned[];
  const all = [...services, ...secrets, ...(await storedConfigs())];
  return Object.fromEntries(all.map(({ Spec, Version }) => [Spec.Name, Version.Index] as const));
}

/** Longer than core waits before it stores what has come to rest: a fight of two cores would never get there. */
async function untilAtRest(): Promise<void> {
  await eventually(async () => {
    const before = await ownVersions();
    await new Promise((resolve) => setTimeout(resolve, 8_000));
    expect(await ownVersions()).toEqual(before);
  }, PATIENCE);
}

async function coresRunning(): Promise<number> {
  const out = await interlock.cli('service', 'ps', `${STACK}_core`, '--format', '{{.CurrentState}}');
  return out.split('\n').filter((line) => line.startsWith('Running')).length;
}

describe('hitless delivery on a real Swarm', () => {
  it('with two cores at once comes to the same and to rest', async () => {
    await interlock.cli('service', 'scale', '-d', `${STACK}_core=2`);
    await eventually(async () => (await coresRunning()) === 2, PATIENCE);
    await rename('two-cores.local');
    await arrives('two-cores.local');
    await untilAtRest();
    await interlock.cli('service', 'scale', '-d', `${STACK}_core=1`);
    await eventually(async () => (await coresRunning()) === 1, PATIENCE);
    await rename('one-core.local');
    await arrives('one-core.local');
  });

  it('loses its extension in the middle of a change', async () => {
    await rename('mid.local');
    await interlock.killTask('interlock-extension');
    await arrives('demo.local');
    await arrives('mid.local');
  });

  it('delivers a file above what Swarm stores as it is, and stores it packed', async () => {
    const long = 'x'.repeat(60);
    await Promise.all(
      Array.from({ length: 36 }, (_, index) =>
        interlock.createApp({
          name: `many${index}`,
          networks: ['app'],
          replicas: 0,
          lb: {
            hosts: Array.from({ length: 200 }, (__, host) => `h${index}-${host}.${long}.${long}.${long}.local`).join(),
            port: '8080',
          },
        }),
      ),
    );
    await rename('huge.local');
    await arrives('huge.local');
    await eventually(async () => {
      const packed = (await storedConfigs())
        .filter(({ Spec }) => Spec.Labels?.[LABELS.encoding] === 'gzip')
        .map(({ Spec }) => gunzipSync(Buffer.from(Spec.Data ?? '', 'base64')).toString());
      const newest = packed.find((text) => text.includes('huge.local'));
      expect(newest?.length).toBeGreaterThan(1_000 * 1_024);
    }, PATIENCE);
    // The roll to a new network is onto the newest file, which is the packed one.
    await interlock.createNetwork('second');
    await interlock.createApp({ name: 'late', networks: ['second'], lb: { hosts: 'late.local', port: '8080' } });
    await interlock.untilAll('late.local', ({ status }) => status === 200, { proxies: PROXIES, timeoutMs: 120_000 });
    await arrives('huge.local');
  });
});
