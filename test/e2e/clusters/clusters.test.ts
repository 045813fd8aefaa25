/**
 * Service clusters on a real Swarm of three nodes, as the published how-to has them: dev, test and prod, each with ports, networks and
 * nodes of its own, hitless delivery. Then config.toml is changed by the documented steps.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LABELS } from '../../../src/core/publish/names.ts';
import { startSwarm } from '../../support/bed.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';
import { deployInterlock, type Interlock, type TaskJson } from '../../support/interlock.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const CLUSTERS = ['dev', 'test', 'prod'] as const;
type Cluster = (typeof CLUSTERS)[number];
const PORTS = { dev: 8080, test: 8081, prod: 8082 } as const;

let interlock: Interlock;
let toml: string;
let folder: string;
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  folder = await mkdtemp(join(tmpdir(), 'interlock-clusters-'));
  cleanUps.unshift(() => rm(folder, { recursive: true, force: true }));
  const swarm = await startSwarm({ name: 'clusters', nodes: 3 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  toml = await readFile(join(HERE, 'config.toml'), 'utf8');
  interlock = await deployInterlock(swarm, toml);
  cleanUps.unshift(() => interlock.down());
  // Core runs by now or soon: networks and labels that come later are found.
  for (const [index, cluster] of CLUSTERS.entries()) {
    const labels = ['--label-add', 'nodetype=loadbalancer', '--label-add', `region=${cluster}`];
    const name = await hostnameOf(index + 1);
    // Swarm writes nodes too, and then says "update out of sequence".
    await eventually(() => interlock.cli('node', 'update', ...labels, name), { timeoutMs: 30_000 });
    await interlock.createNetwork(`${cluster}-front`);
    await deploy(cluster);
  }
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

async function hostnameOf(index: number): Promise<string> {
  const names = (await interlock.cli('node', 'ls', '--format', '{{.Hostname}}')).trim().split('\n');
  const name = names.find((one) => Number(one.replace(/^\D+/, '')) === index);
  if (name === undefined) {
    throw new Error(`no node ${index} in ${names.join(' ')}`);
  }
  return name;
}

async function deploy(cluster: Cluster): Promise<void> {
  const file = join(HERE, 'stacks', `${cluster}.yml`);
  await interlock.cli('stack', 'deploy', '--resolve-image', 'never', '-c', file, cluster);
}

/** The first line of what a cluster's own node answers on a cluster's port, or the status. */
async function answer(node: Cluster, port: number, host: string): Promise<string | number> {
  const address = interlock.swarm.nodes[CLUSTERS.indexOf(node)]?.address ?? '';
  const { status, body } = await interlock.ask(`http://${address}:${port}`, host);
  return status === 200 ? (body.split('\n')[0] ?? '') : status;
}

const served = (cluster: Cluster, host: string, name: string) =>
  eventually(async () => (await answer(cluster, PORTS[cluster], host)) === name, { timeoutMs: 120_000, everyMs: 250 });

interface Seen {
  readonly versions: Readonly<Record<string, number>>;
  readonly tasks: readonly string[];
}

/** All that core wrote for these clusters (services, Proxy Configs, history, tokens), by version index, and the tasks that run of it. */
async function seen(clusters: readonly Cluster[]): Promise<Seen> {
  const names = clusters.flatMap((one) => [`interlock-extension-${one}`, `interlock-proxy-${one}`]);
  const services = await Promise.all(names.map((name) => interlock.inspectService(name)));
  // Shape: Engine API `GET /tasks`, `GET /configs`, `GET /secrets`.
  const tasks = (await interlock.docker.listTasks({ filters: { service: names } })) as readonly TaskJson[];
  const blobs = (await Promise.all([
    interlock.docker.listConfigs(),
    interlock.docker.listSecrets(),
  ])) as unknown as (readonly {
    readonly Spec: { readonly Name: string; readonly Labels?: Readonly<Record<string, string>> };
    readonly Version: { readonly Index: number };
  }[])[];
  const own = blobs.flat().filter(({ Spec }) => clusters.some((one) => Spec.Labels?.[LABELS.extension] === one));
  const versions = [...services, ...own].map(({ Spec, Version }) => [Spec.Name, Version.Index] as const);
  const running = tasks.filter(({ DesiredState }) => DesiredState === 'running');
  return { versions: Object.fromEntries(versions), tasks: running.map(({ ID }) => ID).sort() };
}

/** Stored, and no roll under way: what is written from now on has another cause. */
async function untilQuiet(): Promise<void> {
  const last = { text: '', since: 0 };
  await eventually(
    async () => {
      const text = JSON.stringify(await seen(CLUSTERS));
      if (text !== last.text) {
        Object.assign(last, { text, since: Date.now() });
      }
      return Date.now() - last.since > 15_000;
    },
    { timeoutMs: 90_000, everyMs: 500 },
  );
}

async function findings(): Promise<readonly { readonly code: string; readonly service?: string; value?: string }[]> {
  const lines = await interlock.coreLog();
  return lines.flatMap(({ msg, finding }) => (msg === 'finding' ? [finding as { code: string }] : []));
}

describe('service clusters', () => {
  it('each answers on its own port and node, for its own hosts', async () => {
    for (const cluster of CLUSTERS) {
      await served(cluster, `demo.${cluster}.example.org`, cluster);
    }
    for (const cluster of CLUSTERS) {
      for (const other of CLUSTERS.filter((one) => one !== cluster)) {
        expect(await answer(cluster, PORTS[cluster], `demo.${other}.example.org`)).toBe(503);
        await expect(answer(cluster, PORTS[other], `demo.${other}.example.org`)).rejects.toThrow(/ECONNREFUSED/);
      }
    }
    expect((await findings()).filter(({ code }) => code === 'SETTINGS.CONSTRAINT_REWRITTEN')).toHaveLength(6);
  }, 240_000);

  it("a change in one leaves the others' tasks and version indexes alone", async () => {
    await untilQuiet();
    const others = await seen(['dev', 'prod']);
    const own = await seen(['test']);
    for (const kind of ['proxy.prod', 'routes.prod', 'token.prod.extension', 'token.prod.proxy']) {
      expect(Object.keys(others.versions)).toContainEqual(expect.stringContaining(`com.docker.interlock.${kind}.`));
    }

    await interlock.updateService('test_demo', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = 'renamed.test.example.org';
    });
    await served('test', 'renamed.test.example.org', 'test');
    await interlock.updateService('test_demo', (spec) => {
      spec.Mode.Replicated = { Replicas: 2 };
    });
    // Stored once the change has come to rest and its whole file was checked.
    const count = ({ versions }: Seen) => Object.keys(versions).filter((name) => name.includes('.proxy.test.')).length;
    await eventually(async () => count(await seen(['test'])) > count(own), { timeoutMs: 60_000, everyMs: 500 });
    await untilQuiet();

    expect(await seen(['dev', 'prod'])).toEqual(others);
    expect((await seen(['test'])).tasks).toEqual(own.tasks);
  }, 240_000);

  it('a service that names an unknown cluster is not routed, and a finding says so', async () => {
    await interlock.createApp({
      name: 'lost',
      networks: ['dev-front'],
      lb: { hosts: 'lost.example.org', port: '8080', service_cluster: 'staging' },
    });
    await eventually(
      async () =>
        (await findings()).some(({ code, service }) => code === 'LABEL.SERVICE_CLUSTER_UNKNOWN' && service === 'lost'),
      { timeoutMs: 30_000, everyMs: 500 },
    );
    for (const cluster of CLUSTERS) {
      expect(await answer(cluster, PORTS[cluster], 'lost.example.org')).toBe(503);
    }
  }, 60_000);
});

/** The documented steps: a new Docker Config, and core's service moved onto it. */
async function useConfig(name: string, text: string): Promise<void> {
  const file = join(folder, name);
  await writeFile(file, text);
  await interlock.cli('config', 'create', name, file);
  const { ContainerSpec } = (await interlock.inspectService('interlock_core')).Spec.TaskTemplate;
  const mounted = (ContainerSpec['Configs'] as readonly { readonly ConfigName: string }[]).map((one) => one.ConfigName);
  const gone = mounted.flatMap((one) => ['--config-rm', one]);
  const added = ['--config-add', `source=${name},target=/config.toml`];
  const roll = ['--update-failure-action', 'rollback', '--update-monitor', '10s'];
  await interlock.cli(
    'service',
    'update',
    '--detach',
    '--no-resolve-image',
    ...roll,
    ...gone,
    ...added,
    'interlock_core',
  );
}

const updateState = async () => (await interlock.inspectService('interlock_core')).UpdateStatus?.State;

describe('changing config.toml by the documented steps', () => {
  it('applies to running services at once, and only to those it is about', async () => {
    const others = await seen(['dev', 'prod']);

    const changed = 'PublishedPort = 9081\n    HitlessServiceUpdate = false';
    await useConfig('interlock.second', toml.replace('PublishedPort = 8081', changed));
    await eventually(async () => (await answer('test', 9081, 'renamed.test.example.org')) === 'test', {
      timeoutMs: 120_000,
      everyMs: 250,
    });
    await eventually(async () => (await updateState()) === 'completed', { timeoutMs: 60_000, everyMs: 500 });

    await expect(answer('test', 8081, 'renamed.test.example.org')).rejects.toThrow(/ECONNREFUSED/);
    expect(await seen(['dev', 'prod'])).toEqual(others);
  }, 240_000);

  it("in classic mode, too, a change in one leaves the others' tasks and version indexes alone", async () => {
    await untilQuiet();
    const others = await seen(['dev', 'prod']);
    const own = await seen(['test']);

    await interlock.updateService('test_demo', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = 'classic.test.example.org';
    });
    await eventually(async () => (await answer('test', 9081, 'classic.test.example.org')) === 'test', {
      timeoutMs: 120_000,
      everyMs: 250,
    });
    await untilQuiet();

    expect((await seen(['test'])).tasks).not.toEqual(own.tasks);
    expect(await seen(['dev', 'prod'])).toEqual(others);
  }, 240_000);

  it("a broken one rolls back, and core's log says why", async () => {
    await untilQuiet(); // the end of the roll before is a write too
    const before = await seen(CLUSTERS);

    await useConfig('interlock.broken', toml.replace('ProxyReplicas = 1', 'ProxyReplicas = "one"'));
    await eventually(async () => (await updateState()) === 'rollback_completed', { timeoutMs: 180_000, everyMs: 500 });

    const rejections = (await interlock.coreLog()).filter(({ code }) => code === 'SETTINGS.INVALID');
    expect(rejections[0]?.['msg']).toBe(
      '/config.toml cannot be used:\nExtensions.dev.ProxyReplicas: found "one" (string), expected a whole number of at least 0',
    );
    for (const cluster of ['dev', 'prod'] as const) {
      expect(await answer(cluster, PORTS[cluster], `demo.${cluster}.example.org`)).toBe(cluster);
    }
    // The core of before is back, and has nothing to write.
    await interlock.updateService('dev_demo', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = 'back.dev.example.org';
    });
    await served('dev', 'back.dev.example.org', 'dev');
    expect(await seen(['test', 'prod'])).toMatchObject(seenOf(before, ['test', 'prod']));
  }, 480_000);
});

function seenOf({ versions }: Seen, clusters: readonly Cluster[]): Pick<Seen, 'versions'> {
  const isOf = (name: string) => clusters.some((one) => name.split(/[-.]/).includes(one));
  return { versions: Object.fromEntries(Object.entries(versions).filter(([name]) => isOf(name))) };
}
