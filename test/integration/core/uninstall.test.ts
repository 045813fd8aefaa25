/** `interlock uninstall` against the fake Engine, with foreign objects that look much like ours. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TOKEN_TYPE } from '../../../src/core/access/names.ts';
import { createDockerodeEngine } from '../../../src/core/engine/dockerode-engine.ts';
import { LABELS, TYPES } from '../../../src/core/publish/names.ts';
import { type Owner, uninstall } from '../../../src/core/uninstall.ts';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { eventually } from '../../support/eventually.ts';

const { signal } = new AbortController();
let fake: FakeEngine;

beforeEach(async () => {
  fake = await createFakeEngine();
});

afterEach(async () => {
  await fake.close();
});

type Labels = Record<string, string>;

function ownLabels(type: string, extension: string, stack: string | undefined): Labels {
  return {
    [LABELS.type]: type,
    [LABELS.extension]: extension,
    ...(stack === undefined ? {} : { [LABELS.stack]: stack }),
  };
}

/** What core leaves in Swarm for one extension. */
function install(extension: string, stack: string | undefined, core = 'interlock_core'): void {
  const token = fake.swarm.addSecret(`token.${extension}`, 'secret', ownLabels(TOKEN_TYPE, extension, stack));
  const config = fake.swarm.api.createBlob('config', {
    Name: `proxy.${extension}.1`,
    Labels: ownLabels(TYPES.proxyConfig, extension, stack),
    Data: 'eA==',
  });
  const env = [`INTERLOCK_ENDPOINT=tasks.${core}:8080`];
  fake.swarm.addService({
    Name: `${extension}-extension`,
    Labels: ownLabels(TYPES.extension, extension, stack),
    TaskTemplate: { ContainerSpec: { Image: 'e:1', Env: env } },
  });
  fake.swarm.addService({
    Name: `${extension}-proxy`,
    Labels: ownLabels(TYPES.proxy, extension, stack),
    TaskTemplate: {
      ContainerSpec: {
        Image: 'p:1',
        Env: env,
        Configs: [{ ConfigID: config, ConfigName: `proxy.${extension}.1`, File: { Name: '/x' } }],
        Secrets: [{ SecretID: token, SecretName: `token.${extension}`, File: { Name: 'interlock-token' } }],
      },
    } as never, // the fake's type names fewer fields
  });
}

/** Of the same stack, of another, and with some of our labels. */
function addForeign(): void {
  const { swarm } = fake;
  swarm.addService({ Name: 'web', Labels: { [LABELS.stack]: 'interlock' } });
  swarm.addService({ Name: 'mimic', Labels: { [LABELS.stack]: 'interlock', type: TYPES.proxy } });
  swarm.addService({ Name: 'typeless', Labels: { [LABELS.stack]: 'interlock', [LABELS.extension]: 'default' } });
  swarm.addSecret('certificate', 'x', { [LABELS.stack]: 'interlock' });
  swarm.api.createBlob('config', { Name: 'config.toml', Labels: { [LABELS.stack]: 'interlock' }, Data: 'eA==' });
}

const names = () =>
  [fake.swarm.store.services, fake.swarm.store.configs, fake.swarm.store.secrets]
    .flatMap((objects) => [...objects.values()].map(({ Spec }) => Spec.Name))
    .sort();

function remove(owner: Owner, answers: { readonly dryRun?: boolean; readonly yes?: boolean } = {}) {
  const asked: string[] = [];
  const engine = createDockerodeEngine({ dockerUrl: fake.dockerUrl });
  const confirm = (list: string) => {
    asked.push(list);
    return Promise.resolve(answers.yes ?? true);
  };
  const outcome = uninstall(engine, { owner, dryRun: answers.dryRun ?? false, confirm }, signal);
  return outcome.then((done) => ({ ...done, asked }));
}

const STACK: Owner = { kind: 'stack', stack: 'interlock' };
const writes = () => fake.calls.filter(({ asked }) => !asked.startsWith('GET '));

describe('uninstall', () => {
  it('removes what core made for its stack, and nothing else', async () => {
    addForeign();
    install('other', 'other-stack');
    install('outside', undefined);
    const before = names();
    install('default', 'interlock');
    install('east', 'interlock');

    const { exitCode, text, asked } = await remove(STACK);

    expect(exitCode).toBe(0);
    expect(names()).toEqual(before);
    expect(text.split('\n')).toHaveLength(9);
    expect(text).toContain('removed service default-proxy\n');
    expect(text).toContain('removed config proxy.east.1\n');
    expect(text).toContain('removed secret token.east\n');
    expect(asked).toHaveLength(1);
    expect((await remove(STACK)).text).toBe('nothing of the stack interlock is left in this Swarm\n');
  });

  it('without a stack removes what is of the named extensions and of no stack', async () => {
    install('one', undefined);
    install('default', 'interlock');
    install('two', undefined);
    await remove({ kind: 'extensions', extensions: ['one', 'default'] });

    expect(names().filter((name) => name.includes('one'))).toEqual([]);
    expect(names().filter((name) => /default|two/.test(name))).toHaveLength(8);
  });

  it('stops while core runs, by its address and by its image, and says how to remove it', async () => {
    install('default', 'interlock', 'some_core');
    fake.swarm.addService({ Name: 'some_core' });
    fake.swarm.addService({
      Name: 'interlock_second',
      Labels: { [LABELS.stack]: 'interlock' },
      TaskTemplate: { ContainerSpec: { Image: 'registry.example.com:5000/interlock/core:1@sha256:ab' } },
    });
    const before = names();

    const { exitCode, text, facts, asked } = await remove(STACK);
    expect(exitCode).toBe(1);
    expect(facts).toMatchObject({ outcome: 'core-runs', cores: ['some_core', 'interlock_second'] });
    expect(text).toContain('docker service rm some_core\n');
    expect(text).toContain('docker service rm interlock_second\n');
    expect([asked, names()]).toEqual([[], before]);

    fake.swarm.updateService('some_core', (spec) => {
      spec.Mode = { Replicated: { Replicas: 0 } };
    });
    fake.swarm.api.removeService(fake.swarm.service('interlock_second').ID);
    await eventually(() => fake.swarm.runningTasksOf('some_core').length === 0);
    await eventually(async () => (await remove(STACK)).exitCode === 0);
    expect(names()).toEqual(['some_core']);
  });

  it('asks whose where two cores of no stack made things for the extensions, and takes only those that were named', async () => {
    install('outside', undefined, 'gone');
    for (const object of [fake.swarm.store.services, fake.swarm.store.configs, fake.swarm.store.secrets].flatMap(
      (objects) => [...objects.values()],
    )) {
      Object.assign(object.Spec, { Labels: { ...object.Spec.Labels, [LABELS.coreService]: 'gone' } });
    }
    const token = fake.swarm.addSecret('theirs', 'x', {
      ...ownLabels(TOKEN_TYPE, 'outside', undefined),
      [LABELS.coreService]: 'alive',
    });
    const owner = { kind: 'extensions', extensions: ['outside'] } as const;

    const asked = await remove(owner);
    expect(asked.facts).toMatchObject({ outcome: 'several-cores', cores: ['alive', 'gone'] });
    expect(asked.text).toContain('  --core gone\n');
    expect([asked.exitCode, writes()]).toEqual([1, []]);

    expect((await remove({ ...owner, core: 'gone' })).facts.outcome).toBe('removed');
    expect([...fake.swarm.store.secrets.keys()]).toEqual([token]);
    expect(fake.swarm.store.services.size).toBe(0);
  });

  it('stops while a core of no stack runs, though the services dial an EndpointOverride', async () => {
    install('outside', undefined);
    for (const service of fake.swarm.store.services.values()) {
      const container = service.Spec.TaskTemplate.ContainerSpec as { Env?: readonly string[] };
      container.Env = ['INTERLOCK_ENDPOINT=10.0.0.5:8080'];
    }
    fake.swarm.addService({ Name: 'web', TaskTemplate: { ContainerSpec: { Image: 'interlock/corehub:1' } } });
    fake.swarm.addService({
      Name: 'other_core',
      Labels: { [LABELS.stack]: 'other' },
      TaskTemplate: { ContainerSpec: { Image: 'interlock/core:1' } },
    });
    const owner: Owner = { kind: 'extensions', extensions: ['outside'] };
    const core = fake.swarm.addService({
      Name: 'my-core',
      TaskTemplate: { ContainerSpec: { Image: 'interlock/core:1' } },
    });

    expect((await remove(owner)).facts).toMatchObject({ outcome: 'core-runs', cores: ['my-core'] });
    expect(writes()).toEqual([]);

    fake.swarm.api.removeService(core);
    expect((await remove(owner)).facts.outcome).toBe('removed');
  });

  it('a dry run and a no write nothing', async () => {
    install('default', 'interlock');
    const before = names();

    expect(await remove(STACK, { dryRun: true })).toMatchObject({
      exitCode: 0,
      text: expect.stringContaining('would remove\n  service default-extension\n') as string,
      asked: [],
    });
    expect(await remove(STACK, { yes: false })).toMatchObject({ exitCode: 1, text: 'nothing was removed\n' });
    expect([writes(), names()]).toEqual([[], before]);
  });

  it('goes on past what somebody else uses, and says so', async () => {
    install('default', 'interlock');
    const [config] = [...fake.swarm.store.configs.values()];
    fake.swarm.addService({
      Name: 'user',
      TaskTemplate: {
        ContainerSpec: {
          Image: 'app:1',
          Configs: [{ ConfigID: config?.ID ?? '', ConfigName: config?.Spec.Name ?? '', File: { Name: '/x' } }],
        },
      } as never,
    });

    const { exitCode, text, facts } = await remove(STACK);

    expect(exitCode).toBe(1);
    expect(facts.outcome).toBe('incomplete');
    expect(facts.objects.filter(({ state }) => state === 'there')).toEqual([
      expect.objectContaining({ name: 'proxy.default.1', reason: expect.stringContaining('in use') as string }),
    ]);
    expect(text).toMatch(/NOT removed: config proxy\.default\.1: .*in use/);
    expect(names()).toEqual(['proxy.default.1', 'user']);
  });

  it('what went meanwhile is no failure; an engine that goes away is', async () => {
    install('default', 'interlock');
    fake.fault({ match: /^DELETE \/secrets/, times: 1, action: { kind: 'status', status: 404, message: 'not found' } });
    expect((await remove(STACK)).text).toContain('already gone: secret token.default\n');

    install('more', 'interlock');
    fake.setReachable(false);
    await expect(remove(STACK)).rejects.toMatchObject({ code: 'ENGINE.UNREACHABLE' });
  });
});

describe('the command', { timeout: 40_000 }, () => {
  const script = fileURLToPath(new URL('../../../src/bin/interlock.ts', import.meta.url));

  async function run(...args: readonly string[]) {
    const env = { ...process.env, DOCKER_HOST: fake.dockerUrl };
    const child = spawn(process.execPath, ['--import', 'tsx', script, 'uninstall', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    const said = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      said.out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      said.err += chunk.toString();
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    return { code, ...said };
  }

  it('asks nobody where there is no terminal, and with --yes removes', async () => {
    install('default', 'interlock');

    expect(await run('--stack', 'interlock')).toMatchObject({
      code: 64,
      err: expect.stringContaining('--yes') as string,
    });
    expect(names()).toHaveLength(4);
    const planned = await run('--stack', 'interlock', '--dry-run', '--json');
    expect(JSON.parse(planned.out)).toMatchObject({
      outcome: 'would-remove',
      objects: expect.arrayContaining([{ kind: 'service', name: 'default-proxy', state: 'there' }]) as unknown,
    });
    expect(await run('--stack', 'interlock', '--yes')).toMatchObject({
      code: 0,
      out: expect.stringContaining('removed service default-proxy\n') as string,
    });
    expect(names()).toEqual([]);
    expect(JSON.parse((await run('--stack', 'interlock', '--yes', '--json')).out)).toEqual({
      outcome: 'nothing-there',
      objects: [],
    });
  });
});
