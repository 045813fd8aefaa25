/**
 * Images in a registry that asks for a login, on a real Swarm of three nodes that have none of them at the start: by the commands of
 * docs/howto/production.md core's services get the login, and core's own updates keep it.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Swarm, startSwarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock, type TaskJson } from '../support/interlock.ts';
import { type Registry, startRegistry } from '../support/registry.ts';
import { baseOf, PATIENCE, runningOf } from './cluster.ts';
import { useConfig } from './use-config.ts';

const SERVICES = ['interlock-extension', 'interlock-proxy'] as const;

let swarm: Swarm;
let registry: Registry;
let interlock: Interlock;
let images: { readonly extension: string; readonly proxy: string };
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  swarm = await startSwarm({ name: 'registry', nodes: 3, insecureRegistry: true });
  cleanUps.unshift(() => swarm.down());
  const socket = swarm.managerSocket;
  await promisify(execFile)('docker', ['-H', `unix://${socket}`, 'load', '-q', '-i', archive], { timeout: 300_000 });
  registry = await startRegistry(swarm.hostAddress ?? '');
  cleanUps.unshift(() => registry.stop());
  await registry.login(socket);
  const core = await registry.push(socket, 'interlock/core:dev', 'interlock/core:0.1.0');
  images = {
    extension: await registry.push(socket, 'interlock/extension:dev', 'interlock/extension:0.1.0'),
    proxy: await registry.push(socket, 'interlock/proxy:dev', 'interlock/proxy:0.1.0'),
  };
  // What the manager was to push, it has to pull as well.
  await swarm.exec(1, ['docker', 'rmi', core, 'interlock/core:dev']);
  const login = { image: core, configFolder: registry.configFolder };
  interlock = await deployInterlock(swarm, configFor('n2'), { login });
  cleanUps.unshift(() => interlock.down());
  await interlock.createNetwork('front');
  await createApp('shop', 'front');
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

/** Extension and proxy on that worker, with their images from the registry. */
function configFor(node: string): string {
  const constraint = `["node.hostname==${node}"]`;
  return defaultConfig({ extra: `Constraints = ${constraint}\nProxyConstraints = ${constraint}\n` })
    .replace('"interlock/extension:dev"', `"${images.extension}"`)
    .replace('"interlock/proxy:dev"', `"${images.proxy}"`);
}

/** The application's image is on the manager alone, and no business of the registry. */
async function createApp(name: string, network: string): Promise<void> {
  await interlock.createApp({
    name,
    networks: [network],
    constraints: ['node.role==manager'],
    lb: { hosts: `${name}.test`, port: '8080' },
  });
}

/** The engine's words about a task of the service that it refused. */
async function errorOf(service: string): Promise<string> {
  // Shape: Engine API `GET /tasks`.
  const tasks = (await interlock.docker.listTasks({ filters: { service: [service] } })) as readonly TaskJson[];
  return tasks.find(({ Status }) => Status.State === 'rejected')?.Status.Err ?? '';
}

async function untilRefused(service: string): Promise<void> {
  await eventually(async () => {
    expect(await runningOf(interlock, service)).toEqual([]);
    expect(await errorOf(service)).toContain('No such image');
  }, PATIENCE);
}

async function untilOn(service: string, node: string): Promise<void> {
  await eventually(async () => {
    const running = await runningOf(interlock, service);
    expect(running.map(({ hostname }) => hostname)).toEqual([node]);
  }, PATIENCE);
}

async function untilAnswered(index: number, host: string): Promise<void> {
  await eventually(async () => expect((await interlock.ask(baseOf(swarm, index), host)).status).toBe(200), PATIENCE);
}

/** The documented command, with the login of whoever runs it. */
async function giveLogin(service: string): Promise<void> {
  await interlock.cli('--config', registry.configFolder, 'service', 'update', '--with-registry-auth', service);
}

async function imagesOn(index: number): Promise<readonly string[]> {
  const { stdout } = await swarm.exec(index, ['docker', 'images', '--format', '{{.Repository}}:{{.Tag}}']);
  return stdout.split('\n').filter((line) => line.includes('interlock'));
}

describe('images of a registry that asks for a login', () => {
  it('are pulled once the services have it by `docker service update --with-registry-auth`', async () => {
    for (const service of SERVICES) {
      await untilRefused(service);
      await giveLogin(service);
      await untilOn(service, 'n2');
    }
    await untilAnswered(2, 'shop.test');
    expect([...(await imagesOn(2))].sort()).toEqual([images.extension, images.proxy]);
  }, 600_000);

  it('are no reason to replace a task that runs, when the password has changed and the services are given the new one', async () => {
    const tasks = async () => (await Promise.all(SERVICES.map((service) => runningOf(interlock, service)))).flat();
    const before = await tasks();
    expect(before).toHaveLength(2);
    await registry.changePassword();
    await registry.login(swarm.managerSocket);
    for (const service of SERVICES) {
      const { Version } = await interlock.inspectService(service);
      await giveLogin(service);
      expect((await interlock.inspectService(service)).Version.Index).toBeGreaterThan(Version.Index);
    }
    expect(await tasks()).toEqual(before);
  }, 600_000);

  it("are pulled by a node that has none of them after core's own update, which keeps the login", async () => {
    expect(await imagesOn(3)).toEqual([]);
    // Who has no login gets nothing: the engine of that node on its own.
    await expect(swarm.exec(3, ['docker', 'pull', images.proxy])).rejects.toThrow('no basic auth credentials');

    // Two updates of core's, one after the other: a network for the proxy, then another node for both.
    await interlock.createNetwork('back');
    await createApp('other', 'back');
    await untilAnswered(2, 'other.test');
    await useConfig(interlock, configFor('n3'));

    for (const service of SERVICES) {
      await untilOn(service, 'n3');
    }
    await untilAnswered(3, 'shop.test');
    await untilAnswered(3, 'other.test');
    expect([...(await imagesOn(3))].sort()).toEqual([images.extension, images.proxy]);
  }, 600_000);
});
