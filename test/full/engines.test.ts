/**
 * A shorter pass on older engines: 26.1 of Debian 13, and 20.10 of Debian 12, which is the machine's own there and nowhere else. Deploy,
 * route, scale, change a label, join a network, remove stacks, under constant light traffic where no proxy has to roll.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BedEngine, type Swarm, startSwarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock, STACK } from '../support/interlock.ts';
import { baseOf, PATIENCE, runningOf, untilServed } from './cluster.ts';
import { startTraffic, tallyOf } from './traffic.ts';

/** With the versions that this pass is for: green on another one it would say nothing of them. */
const ENGINES: readonly { readonly engine: BedEngine; readonly wanted: string }[] = [
  { engine: 'trixie', wanted: '26.1' },
  { engine: 'host', wanted: '20.10' },
];

/** The proxy runs on node 2, the worker. */
const PROXIES = [2] as const;

const stackOf = (host: string) => `version: "3.8"
services:
  web:
    image: interlock/demo:dev
    networks: [front]
    healthcheck: { interval: 1s }
    stop_grace_period: 2s
    deploy:
      labels: { com.docker.lb.hosts: ${host}, com.docker.lb.port: "8080", com.docker.lb.network: front }
networks:
  front:
    driver: overlay
`;

interface EngineVersion {
  readonly Version: string;
  readonly ApiVersion: string;
}

async function versionOf(swarm: Swarm): Promise<EngineVersion> {
  return await new Docker({ socketPath: swarm.managerSocket }).version();
}

function expectVersion(engine: BedEngine, wanted: string, { Version, ApiVersion }: EngineVersion): void {
  process.stderr.write(`${engine}: Docker ${Version}, API ${ApiVersion}\n`);
  const hint =
    engine === 'host' ? "the machine's own dockerd: run this file on Debian 12, with its package docker.io" : '';
  expect(Version, `this pass is for Docker ${wanted}, and the bed runs ${Version}. ${hint}`).toMatch(
    new RegExp(`^${wanted.replace('.', '\\.')}[.+]`),
  );
}

describe.each(ENGINES)('on the engine of $engine, $wanted', ({ engine, wanted }) => {
  let swarm: Swarm;
  let interlock: Interlock;
  let folder: string;
  const cleanUps: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    const archive = await imageArchive();
    folder = await mkdtemp(join(tmpdir(), 'interlock-engines-'));
    cleanUps.unshift(() => rm(folder, { recursive: true, force: true }));
    swarm = await startSwarm({ name: `full-${engine}`, nodes: 2, engine });
    cleanUps.unshift(() => swarm.down());
    expectVersion(engine, wanted, await versionOf(swarm));
    await swarm.loadImages([archive]);
    interlock = await deployInterlock(swarm, `NetworkLinger = "5s"\n${defaultConfig()}`);
    cleanUps.unshift(() => interlock.down());
  });

  afterAll(async () => {
    for (const cleanUp of cleanUps) {
      await cleanUp();
    }
  });

  async function deploy(stack: string, host: string): Promise<void> {
    const file = join(folder, `${stack}.yml`);
    await writeFile(file, stackOf(host));
    await interlock.cli('stack', 'deploy', '--resolve-image', 'never', '-c', file, stack);
  }

  async function arrives(host: string): Promise<void> {
    await interlock.untilAll(host, ({ status }) => status === 200, { timeoutMs: PATIENCE.timeoutMs });
  }

  it('routes to a stack that is deployed', async () => {
    await deploy('one', 'one.local');
    await arrives('one.local');
    await untilServed(interlock, { one_web: 1 }, PROXIES);
  });

  it('follows a scale up and down and a change of a label, and no request fails', async () => {
    const traffic = startTraffic({ host: 'one.local', bases: PROXIES.map((index) => baseOf(swarm, index)) });
    cleanUps.unshift(() => traffic.stop());
    await traffic.answeredBy(20);
    await interlock.cli('service', 'scale', '-d', 'one_web=3');
    await untilServed(interlock, { one_web: 3 }, PROXIES);
    await interlock.cli('service', 'scale', '-d', 'one_web=1');
    await untilServed(interlock, { one_web: 1 }, PROXIES);
    await interlock.cli('service', 'update', '-d', '--label-add', 'com.docker.lb.hosts=one.local,new.local', 'one_web');
    await arrives('new.local');
    await traffic.answeredBy(20);
    await traffic.stop();
    process.stderr.write(`${engine}: ${tallyOf(traffic)}\n`);
    expect(traffic.failed()).toEqual([]);
  });

  it('joins the network of another stack, and lets it go when that is removed', async () => {
    await deploy('two', 'two.local');
    await arrives('two.local');
    await arrives('one.local');
    await eventually(async () => {
      await interlock.cli('stack', 'rm', 'two'); // fails while the proxy holds the network, for as long as it lingers
      expect(await namesOf('network', 'two')).toEqual([]);
    }, PATIENCE);
    await arrives('one.local');
  });

  it('goes with its own stack', async () => {
    await interlock.swarm.lookThroughLogs();
    await interlock.cli('stack', 'rm', STACK);
    await eventually(async () => {
      await interlock.cli('stack', 'rm', STACK);
      const kinds = ['service', 'config', 'secret', 'network'];
      expect((await Promise.all(kinds.map((kind) => namesOf(kind, STACK)))).flat()).toEqual([]);
    }, PATIENCE);
    expect(await runningOf(interlock, 'one_web')).toHaveLength(1);
  });

  async function namesOf(kind: string, stack: string): Promise<readonly string[]> {
    const label = `label=com.docker.stack.namespace=${stack}`;
    const out = await interlock.cli(kind, 'ls', '--filter', label, '--format', '{{.Name}}');
    return out.split('\n').filter((line) => line !== '');
  }
});
