/** Tokens against the fake Engine, over its real HTTP: made, found again, rotated, retired; and who is let in meanwhile. */
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Access, createAccess } from '../../../../src/core/access/access.ts';
import { TOKEN_LABELS, TOKEN_TYPE, type TokenRole, tokenSecretName } from '../../../../src/core/access/names.ts';
import { type Board, createBoard } from '../../../../src/core/board.ts';
import { createDockerodeEngine } from '../../../../src/core/engine/dockerode-engine.ts';
import type { EngineApi } from '../../../../src/core/engine/engine-api.ts';
import type { OwnPlace } from '../../../../src/core/home.ts';
import { findingKey } from '../../../../src/model/finding.ts';
import type { Snapshot } from '../../../../src/model/snapshot.ts';
import { createCell } from '../../../../src/runtime/cell.ts';
import { systemClock } from '../../../../src/runtime/clock.ts';
import { createLogger } from '../../../../src/runtime/logging.ts';
import { createWireClient } from '../../../../src/wire/client.ts';
import { refusalReason } from '../../../../src/wire/errors.ts';
import { createFakeEngine, type FakeEngine } from '../../../fakes/engine/fake-engine.ts';
import { eventually } from '../../../support/eventually.ts';
import { coreSettings } from '../../../support/settings.ts';
import { tokenIn } from '../../../support/tokens.ts';
import { createFakeCore, createWireBench, full, next, sampleModel } from '../../../support/wire.ts';

const table = (name: string) => `
[Extensions.${name}]
Image = "interlock/extension:dev"
ServiceName = "interlock-extension-${name}"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "interlock-proxy-${name}"
ProxyConfigPath = "/etc/nginx/nginx.conf"
ProxyReplicas = 1
ServiceCluster = "${name}"
`;

interface Life {
  readonly access: Access;
  readonly board: Board;
  readonly log: readonly string[];
  stop(): Promise<void>;
}

let fake: FakeEngine;
let engine: EngineApi;
const lives: Life[] = [];

beforeEach(async () => {
  fake = await createFakeEngine();
  engine = createDockerodeEngine({ dockerUrl: fake.dockerUrl });
});
afterEach(async () => {
  await Promise.all(lives.splice(0).map((life) => life.stop()));
  await fake.close();
});

/** Core's access room alone. Time passes a hundred times faster, so that periodic checks come. */
function start(extensions = ['default'], stack: string | null = 'interlock', place: Partial<OwnPlace> = {}): Life {
  const { extensions: settings } = coreSettings(extensions.map(table).join(''));
  const board = createBoard(settings, findingKey, { onNew: () => undefined, onGone: () => undefined });
  const log: string[] = [];
  const logger = createLogger({ level: 'debug', component: 'test' }, { write: (line) => void log.push(line) });
  const clock = { ...systemClock, sleep: (ms: number, signal: AbortSignal) => systemClock.sleep(ms / 100, signal) };
  const access = createAccess(
    { engine, clock, logger },
    { stack: stack ?? undefined, serviceId: undefined, ...place },
    board,
    createCell<Snapshot>(),
  );
  const stop = new AbortController();
  const running = access.components.map((component) => component.run(stop.signal).catch((error: unknown) => error));
  const life = {
    access,
    board,
    log,
    async stop() {
      stop.abort();
      expect(await Promise.all(running)).toEqual(
        running.map((): unknown => expect.objectContaining({ name: 'AbortError' })),
      );
    },
  };
  lives.push(life);
  return life;
}

const offered = (life: Life, extension = 'default') =>
  eventually(() => {
    const references = life.board.extensions.get(extension)?.tokens.get();
    if (references == null) {
      throw new Error('none are offered yet');
    }
    return references;
  });
const tokenSecrets = () =>
  [...fake.swarm.store.secrets.values()].filter(({ Spec }) => Spec.Labels[TOKEN_LABELS.type] === TOKEN_TYPE);
const names = () => tokenSecrets().map(({ Spec }) => Spec.Name);
const name = (role: TokenRole, generation: number, extension = 'default') =>
  tokenSecretName(extension, role, generation);
const token = (role: TokenRole, extension = 'default'): string | undefined => tokenIn(fake, extension, role);

function verdict({ access }: Life, role: 'extension' | 'proxy' | 'operator', text?: string, extension = 'default') {
  try {
    access.authenticate({ role, extension, token: text, version: '1' });
    return 'welcome';
  } catch (error) {
    return refusalReason(error) ?? (error as { code?: string }).code;
  }
}

function addService(serviceName: string, secret: { readonly id: string; readonly name: string }): void {
  fake.swarm.addService({
    Name: serviceName,
    Labels: { [TOKEN_LABELS.extension]: 'default' },
    TaskTemplate: { ContainerSpec: { Image: 'x:1', Secrets: [{ SecretID: secret.id, SecretName: secret.name }] } },
  });
}

it('makes no token any more once the service of core itself is gone', async () => {
  const home = fake.swarm.addService({
    Name: 'core',
    Labels: {},
    TaskTemplate: { ContainerSpec: { Image: 'core:1' } },
  });
  const life = start(['default'], 'interlock', { serviceId: home });
  await offered(life);

  fake.swarm.api.removeService(home);
  for (const { ID } of tokenSecrets()) {
    await engine.removeSecret(ID, AbortSignal.timeout(5_000));
  }

  await eventually(() => expect(life.log.join('')).toContain('no token is made any more'));
  expect(names()).toEqual([]);
});

describe('at the start', () => {
  it('makes one token for each role of each table, and offers both', async () => {
    const life = start(['default', 'other']);

    expect(await offered(life)).toMatchObject({
      extension: { name: name('extension', 1) },
      proxy: { name: name('proxy', 1) },
    });
    await offered(life, 'other');
    expect(names()).toHaveLength(4);
    const texts = tokenSecrets().map(({ Spec }) => Buffer.from(Spec.Data ?? '', 'base64').toString());
    expect(new Set(texts).size).toBe(4);
    for (const text of texts) {
      expect(text).toMatch(/^[A-Za-z0-9_-]{43}$/);
      expect(life.log.join('')).not.toContain(text);
    }
  });

  it('labels a secret with what a later life needs, and with no more', async () => {
    await offered(start());
    const text = token('proxy') ?? '';

    expect(tokenSecrets().find(({ Spec }) => Spec.Name === name('proxy', 1))?.Spec.Labels).toEqual({
      'com.docker.stack.namespace': 'interlock',
      type: 'com.docker.interlock.core.token',
      'com.docker.interlock.extension': 'default',
      'com.docker.interlock.role': 'proxy',
      'com.docker.interlock.token-sha256': createHash('sha256').update(text).digest('hex'),
    });
  });

  it('makes nothing when another life of core made them before', async () => {
    const first = start();
    const before = await offered(first);
    await first.stop();
    lives.pop();

    const second = start();

    expect(await offered(second)).toEqual(before);
    expect(verdict(second, 'extension', token('extension'))).toBe('welcome');
  });

  it.each([2, 5])('%i cores at once come to the same tokens', async (count) => {
    const cores = Array.from({ length: count }, () => start());
    const references = await Promise.all(cores.map((core) => offered(core)));

    expect(new Set(references.map((each) => JSON.stringify(each))).size).toBe(1);
    expect(names()).toHaveLength(2);
    for (const core of cores) {
      expect(verdict(core, 'proxy', token('proxy'))).toBe('welcome');
    }
  });

  it('goes past a name that somebody else took', async () => {
    await engine.createSecret(
      { name: name('proxy', 3), labels: {}, bytes: Buffer.from('theirs') },
      new AbortController().signal,
    );

    expect((await offered(start())).proxy.name).toBe(name('proxy', 4));
  });

  it('waits for an engine that is away', async () => {
    fake.setReachable(false);
    const life = start();
    await eventually(() => life.log.some((line) => line.includes('tokens cannot be looked after')));
    expect(verdict(life, 'proxy', 'whatever')).toBe('WIRE.UNREACHABLE');

    fake.setReachable(true);

    await offered(life);
  });

  it('finds the secret whose creation was answered by nobody', async () => {
    fake.fault({ match: 'POST /secrets/create', action: { kind: 'hangup', when: 'after' } });
    const life = start();
    await offered(life);

    expect(names().sort()).toEqual([name('extension', 1), name('proxy', 1)]);
  });
});

describe('who is let in', () => {
  it.each([
    ['no token', 'extension', (): string | undefined => undefined, 'unauthenticated'],
    ['an unknown token', 'extension', () => 'x'.repeat(43), 'unauthenticated'],
    ["the other role's", 'extension', () => token('proxy'), 'permission-denied'],
    ["another table's", 'extension', () => token('extension', 'other'), 'permission-denied'],
    ['a hash as its own token', 'proxy', () => sha256Of(token('proxy') ?? ''), 'unauthenticated'],
    ["an operator with the extension's token", 'operator', () => token('extension'), 'unauthenticated'],
    ['its own', 'extension', () => token('extension'), 'welcome'],
    ['its own', 'proxy', () => token('proxy'), 'welcome'],
  ] as const)('%s of a caller with the role %s', async (_what, role, text, expected) => {
    const life = start(['default', 'other']);
    await offered(life);
    await offered(life, 'other');

    expect(verdict(life, role, text())).toBe(expected);
  });

  it('is not changed by an engine that goes away', async () => {
    const life = start();
    await offered(life);
    fake.setReachable(false);
    await eventually(() => life.log.some((line) => line.includes('tokens cannot be looked after')), {
      timeoutMs: 5_000,
    });

    expect(verdict(life, 'proxy', token('proxy'))).toBe('welcome');
    fake.setReachable(true);
  });
});

describe('a rotation', () => {
  it('offers a new token, lets both in, and retires the old one when its last task has gone', async () => {
    const life = start();
    const before = await offered(life);
    const old = token('proxy');
    addService('interlock-proxy-default', before.proxy);
    await eventually(async () => (await engine.secretsOfTasks(new AbortController().signal)).has(before.proxy.id));

    life.access.rotate('default', 'proxy');
    life.access.rotate('default', 'proxy');
    const after = await eventually(async () => {
      const now = await offered(life);
      expect(now.proxy.name).toBe(name('proxy', 2));
      return now;
    });

    expect(after.extension).toEqual(before.extension);
    expect(verdict(life, 'proxy', old)).toBe('welcome');
    expect(verdict(life, 'proxy', token('proxy'))).toBe('welcome');

    fake.swarm.updateService('interlock-proxy-default', (spec) => {
      const container = spec.TaskTemplate.ContainerSpec ?? {};
      container.Secrets = [{ SecretID: after.proxy.id, SecretName: after.proxy.name }];
    });
    await eventually(() => !names().includes(name('proxy', 1)));

    expect(fake.swarm.runningTasksOf('interlock-proxy-default').length).toBeGreaterThan(0);
    await eventually(() => verdict(life, 'proxy', old) === 'unauthenticated');
    expect(verdict(life, 'proxy', token('proxy'))).toBe('welcome');
    expect(names()).toHaveLength(2);
  });

  it('leaves streams open that the old token opened, and opens new ones by either, over gRPC', async () => {
    const life = start();
    const before = await offered(life);
    const old = token('extension');
    const bench = createWireBench();
    const core = createFakeCore();
    const { revision, ...first } = full(sampleModel('a'), 1);
    core.messages.set({ revision, ...first });
    const { port } = await bench.serve(core.handlers, 0, life.access.authenticate);
    const connect = (text: string | undefined) => {
      const identity = { role: 'extension', extension: 'default', version: '1', token: text } as const;
      return createWireClient({ endpoint: `127.0.0.1:${port}`, identity });
    };
    const opened = () => [connect(old), connect(token('extension'))] as const;
    const [client] = opened();
    const { signal } = new AbortController();
    const stream = client.watchModel(undefined, signal)[Symbol.asyncIterator]();
    await next(stream);
    addService('interlock-extension-default', before.extension);

    life.access.rotate('default', 'extension');
    await eventually(() => names().includes(name('extension', 2)));
    const [byOld, byNew] = opened();
    const say = (as: typeof client) => as.refuseRevision({ revision, reason: '', findings: [] }, signal);
    await eventually(() => say(byNew));
    await say(byOld);

    await engine.removeService('interlock-extension-default', signal);
    await eventually(() => !names().includes(name('extension', 1)));
    await eventually(() => verdict(life, 'extension', old) === 'unauthenticated');
    await expect(say(byOld)).rejects.toMatchObject({ code: 'WIRE.REFUSED' });
    await say(byNew);
    core.messages.set(full(sampleModel('b'), 2));
    expect((await next(stream)).revision.sequence).toBe(2);

    for (const each of [client, byOld, byNew]) {
      each.close();
    }
    await bench.close();
  });

  it('of a table that does not exist does nothing', async () => {
    const life = start();
    await offered(life);

    life.access.rotate('nowhere', 'proxy');
    life.access.rotate('default', 'extension');

    await eventually(() => names().includes(name('extension', 2)));
    expect(names().filter((each) => each.includes('nowhere'))).toEqual([]);
  });
});

describe('what people do to the secrets', () => {
  it('a removed one is replaced', async () => {
    const life = start();
    const before = await offered(life);
    await engine.removeSecret(before.proxy.id, new AbortController().signal);

    await eventually(() => life.board.extensions.get('default')?.tokens.get()?.proxy.id !== before.proxy.id);

    expect(verdict(life, 'proxy', token('proxy'))).toBe('welcome');
    expect(names()).toHaveLength(2);
  });

  it('one with a damaged hash is replaced, and lets its tasks in until they are gone', async () => {
    const life = start();
    const before = await offered(life);
    const old = token('proxy');
    addService('interlock-proxy-default', before.proxy);
    const secret = fake.swarm.store.secrets.get(before.proxy.id);
    if (secret) {
      secret.Spec.Labels[TOKEN_LABELS.sha256] = 'damaged';
    }

    await eventually(() => life.board.extensions.get('default')?.tokens.get()?.proxy.name === name('proxy', 2));

    expect(verdict(life, 'proxy', old)).toBe('welcome');
    expect(verdict(life, 'proxy', token('proxy'))).toBe('welcome');
  });

  it('those of a table that is gone are removed, once no service names them', async () => {
    const first = start(['default', 'gone']);
    const { proxy } = await offered(first, 'gone');
    addService('still-there', proxy);
    await first.stop();
    lives.pop();

    const second = start(['default']);
    await eventually(() => !names().includes(name('extension', 1, 'gone')));
    expect(names()).toContain(name('proxy', 1, 'gone'));

    await engine.removeService('still-there', new AbortController().signal);
    await eventually(() => !names().includes(name('proxy', 1, 'gone')));
    expect(await offered(second)).toBeDefined();
    expect(names()).toHaveLength(2);
  });

  it("another stack's are neither accepted nor attached, also where its table has the same name", async () => {
    const theirs = start(['default'], 'their-stack');
    await offered(theirs);
    const theirToken = token('proxy') ?? '';

    const ours = start(['default']);
    const { extension, proxy } = await offered(ours);

    expect([extension.name, proxy.name]).toEqual([name('extension', 2), name('proxy', 2)]);
    expect([verdict(theirs, 'proxy', theirToken), verdict(ours, 'proxy', theirToken)]).toEqual([
      'welcome',
      'unauthenticated',
    ]);
    expect(await offered(theirs)).toMatchObject({ proxy: { name: name('proxy', 1) } });
  });

  it('of two cores outside of any stack are each their own: accepted, counted and removed by nobody else', async () => {
    const theirs = start(['default', 'theirs'], null, { serviceName: 'their-core' });
    await offered(theirs, 'theirs');
    const made = names();
    const theirToken = token('proxy') ?? '';

    const ours = start(['default', 'gone'], null, { serviceName: 'our-core' });
    expect(await offered(ours)).toMatchObject({ proxy: { name: name('proxy', 2) } });
    await offered(ours, 'gone');
    await ours.stop();
    const again = start(['default'], null, { serviceName: 'our-core' });
    await eventually(() => names().every((one) => !one.includes('.gone.')));

    expect(await offered(again)).toMatchObject({ proxy: { name: name('proxy', 2) } });
    expect(verdict(again, 'proxy', theirToken)).toBe('unauthenticated');
    expect(verdict(theirs, 'proxy', theirToken)).toBe('welcome');
    expect(names()).toEqual(expect.arrayContaining([...made]));
  });

  it("another stack's are left alone", async () => {
    const theirs = start(['theirs'], 'their-stack');
    await offered(theirs, 'theirs');

    const ours = start(['gone', 'default']);
    await offered(ours, 'gone');
    await ours.stop();
    const again = start(['default']);
    await eventually(
      () => !names().includes(name('proxy', 1, 'gone')) && !names().includes(name('extension', 1, 'gone')),
    );
    await offered(again);

    expect(names()).toEqual(expect.arrayContaining([name('proxy', 1, 'theirs'), name('extension', 1, 'theirs')]));
  });
});

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
