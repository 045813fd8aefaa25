/** History, pins and token rotation, by the commands for people, of a core against the fake Engine. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createWireClient } from '../../../src/wire/client.ts';
import type { RevisionsReport, RotateReport } from '../../../src/wire/revisions.ts';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { type Daemons, prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';
import { type CommandOutcome, runCommand } from '../../support/run-command.ts';

const EXTENSION = `
[Extensions.default]
ServiceName = "interlock-extension"
ProxyServiceName = "interlock-proxy"
ProxyConfigPath = "/etc/nginx/nginx.conf"
HitlessServiceUpdate = false
`;

let fake: FakeEngine;
let network: string;
let folder: string;
const parties: Daemons[] = [];

beforeEach(async () => {
  fake = await createFakeEngine();
  network = fake.swarm.addNetwork('app');
  folder = await mkdtemp(join(tmpdir(), 'interlock-revisions-'));
});

afterEach(async () => {
  await Promise.all(parties.splice(0).map((party) => party.stopAll()));
  await fake.close();
  await rm(folder, { recursive: true, force: true });
});

interface Party extends Daemons {
  /** One of the commands for people, as beside this core. */
  ask(...argv: readonly string[]): Promise<CommandOutcome>;
  readonly socket: string;
}

async function prepare(name = 'one', extraLines = ''): Promise<Party> {
  const operatorSocket = join(folder, `${name}.sock`);
  const party = await prepareDaemons(fake, EXTENSION + extraLines, { operatorSocket });
  parties.push(party);
  return {
    ...party,
    socket: operatorSocket,
    ask: (...argv) => runCommand(argv, { env: { INTERLOCK_OPERATOR_SOCKET: operatorSocket } }),
  };
}

function addApp(name: string, labels: Readonly<Record<string, string>> = {}): string {
  return fake.swarm.addService({
    Name: name,
    Labels: labelsOf({ hosts: `${name}.local`, port: '8080', ...labels }),
    TaskTemplate: { ContainerSpec: { Image: 'app:1' }, Networks: [{ Target: network }] },
  });
}

function labelsOf(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [`com.docker.lb.${key}`, value]));
}

function relabel(name: string, labels: Readonly<Record<string, string>>): void {
  const { ID, Version, Spec } = fake.swarm.service(name);
  fake.swarm.api.updateService(ID, String(Version.Index), { ...Spec, Labels: labelsOf(labels) });
}

const untilServed = (party: Daemons, ...texts: readonly string[]) =>
  eventually(() => texts.every((text) => party.served()?.includes(text) ?? false), { timeoutMs: 20_000 });
const untilGone = (party: Daemons, text: string) =>
  eventually(() => party.served()?.includes(text) === false, { timeoutMs: 20_000 });

async function findings({ socket }: Party): Promise<readonly string[]> {
  const client = createWireClient({ endpoint: `unix:${socket}`, identity: { role: 'operator', version: '0.0.0' } });
  try {
    return (await client.operator.status({}, AbortSignal.timeout(5_000))).findings.map(({ code }) => code);
  } finally {
    client.close();
  }
}

async function history(party: Party) {
  const { stdout } = await party.ask('revisions', '--json');
  return (JSON.parse(stdout) as RevisionsReport).clusters[0];
}

/** Until so many revisions are stored. */
const untilStored = (party: Party, count: number) =>
  eventually(async () => (await history(party))?.revisions.filter(({ number }) => number > 0).length === count, {
    timeoutMs: 20_000,
  });

const configs = (type: string) =>
  [...fake.swarm.store.configs.values()].filter(
    ({ Spec }) => Spec.Labels['type'] === `com.docker.interlock.core.${type}`,
  );

describe('routes', () => {
  it('are pinned to an older revision with live endpoints, over a restart of core, until they are let go', async () => {
    addApp('shop');
    const party = await prepare();
    const core = party.startCore();
    party.startExtension();
    await untilServed(party, 'shop.local');
    await untilStored(party, 1);

    relabel('shop', { hosts: 'wrong.local', port: '8080' });
    addApp('late');
    await untilServed(party, 'wrong.local', 'late.local');
    await untilStored(party, 2);
    const known = await history(party);
    expect(known?.revisions).toMatchObject([
      { number: 2, live: true, served: true, added: { names: ['late'] }, changed: { names: ['shop'] } },
      { number: 1, live: false, served: false, added: { names: ['shop'] } },
    ]);

    const dry = await party.ask('rollback', 'previous', '--dry-run');
    expect(dry).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('would be pinned to revision 1') as string,
    });
    expect(configs('pin')).toEqual([]);
    const done = await party.ask('rollback', '1');
    expect(done).toMatchObject({ exitCode: 0, stderr: '' });
    expect(done.stdout).toContain('+ shop.local/  shop');
    expect(done.stdout).toContain('- wrong.local/  shop');
    expect(done.stdout).toContain('interlock unpin');
    await untilServed(party, 'shop.local');
    await untilGone(party, 'wrong.local');
    await untilGone(party, 'late.local');

    expect(await findings(party)).toContain('ROUTE.PINNED');
    expect((await party.ask('rollback', '1')).stdout).toContain('served already');
    expect((await party.ask('diff', 'served', 'live')).exitCode).toBe(1);
    const files = await party.ask('diff', 'served', 'live', '--files');
    expect(files.stdout).toMatch(/^-.*server_name shop\.local/m);
    expect(files.stdout).toMatch(/^\+.*server_name wrong\.local/m);

    await core.stop();
    relabel('shop', { hosts: 'meanwhile.local', port: '8080' });
    party.startCore();
    addApp('later');
    await eventually(async () => (await history(party))?.pin?.revision === 1, { timeoutMs: 20_000 });
    await untilStored(party, 3);
    expect(party.served()).toContain('shop.local');
    expect(party.served()).not.toContain('meanwhile.local');

    const free = await party.ask('unpin');
    expect(free).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('let go of revision 1') as string });
    await untilServed(party, 'meanwhile.local', 'later.local');
    expect(configs('pin')).toEqual([]);
    expect((await party.ask('unpin')).stdout).toContain('was not pinned');
  }, 120_000);

  it('of a service that is gone answer 503 while they are pinned, and come back with it', async () => {
    const shop = addApp('shop', { context_root: '/shop' });
    addApp('other');
    const party = await prepare();
    party.startCore();
    party.startExtension();
    await untilServed(party, 'shop.local', 'other.local');
    await untilStored(party, 1);
    fake.swarm.api.removeService(shop);
    await untilGone(party, 'shop.local');
    await untilStored(party, 2);
    expect((await party.ask('rollback', 'previous')).exitCode).toBe(0);
    await untilServed(party, 'shop.local');
    expect(await findings(party)).toContain('ROUTE.PINNED_SERVICE_GONE');
    addApp('shop', { hosts: 'elsewhere.local' });
    await eventually(async () => !(await findings(party)).includes('ROUTE.PINNED_SERVICE_GONE'), { timeoutMs: 20_000 });
    expect(party.served()).not.toContain('elsewhere.local');
  }, 90_000);

  it('make no revision when only endpoints change, and history is asked for in words that help', async () => {
    addApp('shop');
    const party = await prepare();
    party.startCore();
    party.startExtension();
    await untilServed(party, 'shop.local');
    await untilStored(party, 1);
    const { ID, Version, Spec } = fake.swarm.service('shop');
    const scaled = { ...Spec, Mode: { Replicated: { Replicas: 3 } } };
    fake.swarm.api.updateService(ID, String(Version.Index), scaled);
    await eventually(() => (party.served()?.match(/server 10\./g) ?? []).length === 3, { timeoutMs: 20_000 });
    expect((await history(party))?.revisions).toMatchObject([{ number: 1, live: true }]);
    expect(configs('routes')).toHaveLength(1);

    expect(await party.ask('rollback', '7')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('there is no revision "7": there are 1 to 1') as string,
    });
    expect(await party.ask('rollback', 'previous')).toMatchObject({ exitCode: 1 });
    expect(await party.ask('rollback', '1')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('served already') as string,
    });
    expect(await party.ask('diff', '1', 'live')).toMatchObject({ exitCode: 0 });
    expect(await party.ask('diff', '1')).toMatchObject({ exitCode: 64 });
    expect(await party.ask('revisions', '--cluster', 'nope')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('there is no service cluster "nope"') as string,
    });
    expect(configs('pin')).toEqual([]);
  }, 60_000);

  it('are pinned in every core, and a pin outlives its place in history', async () => {
    addApp('shop');
    const one = await prepare('one');
    one.startCore();
    one.startExtension();
    await untilServed(one, 'shop.local');
    await untilStored(one, 1);
    relabel('shop', { hosts: 'wrong.local', port: '8080' });
    await untilServed(one, 'wrong.local');
    await untilStored(one, 2);
    expect((await one.ask('rollback', '1')).exitCode).toBe(0);
    const two = await prepare('two');
    two.startCore();
    await eventually(async () => (await history(two))?.pin?.revision === 1, { timeoutMs: 20_000 });
    for (const { ID } of configs('routes')) {
      fake.swarm.api.removeBlob('config', ID);
    }
    expect((await two.ask('diff', 'served', 'live')).stdout).toContain('+ wrong.local/  shop');
    expect((await two.ask('unpin')).exitCode).toBe(0);
    await eventually(async () => (await history(one))?.pin === undefined, { timeoutMs: 20_000 });
    await untilServed(one, 'wrong.local');
  }, 90_000);

  it('keep what is live at the time: ports of config.toml, secrets, networks', async () => {
    const secret = fake.swarm.api.createBlob('secret', { Name: 'cert', Data: 'eA==' });
    addApp('shop', { ssl_cert: 'cert' });
    addApp('moved', { network: 'app' });
    const one = await prepare('one');
    const core = one.startCore();
    one.startExtension();
    await untilServed(one, 'ssl_certificate /run/secrets/cert;', 'moved.local');
    await untilStored(one, 1);
    relabel('shop', { hosts: 'wrong.local', port: '8080' });
    await untilServed(one, 'wrong.local');
    await untilStored(one, 2);
    expect((await one.ask('rollback', 'previous')).exitCode).toBe(0);
    await untilServed(one, 'ssl_certificate /run/secrets/cert;');

    // Swarm itself refuses while a service names it; here it was lost some other way, and another one's event tells of it.
    fake.swarm.store.secrets.delete(secret);
    fake.swarm.api.createBlob('secret', { Name: 'other', Data: 'eA==' });
    await untilServed(one, 'shop.local', 'ssl_reject_handshake on;');
    const elsewhere = fake.swarm.addNetwork('elsewhere');
    fake.swarm.updateService('moved', (spec) => {
      spec.TaskTemplate = { ...spec.TaskTemplate, Networks: [{ Target: elsewhere }] };
    });
    await eventually(() => endpointsNow(one, 'moved.local') === 1, { timeoutMs: 20_000 });

    await core.stop();
    const two = await prepare('two', 'TargetPort = 8089\n');
    two.startCore();
    two.startExtension();
    await untilServed(two, 'listen 8089', 'shop.local');
    expect(two.served()).not.toContain('wrong.local');
  }, 90_000);

  it('are not served unpinned by a core that starts and cannot read pins yet', async () => {
    addApp('shop');
    const party = await prepare();
    const core = party.startCore();
    party.startExtension();
    await untilServed(party, 'shop.local');
    await untilStored(party, 1);
    relabel('shop', { hosts: 'wrong.local', port: '8080' });
    await untilServed(party, 'wrong.local');
    await untilStored(party, 2);
    await party.ask('rollback', '1');
    await untilGone(party, 'wrong.local');
    await core.stop();
    const before = fake.calls.length;
    const failures = 6;
    fake.fault({
      match: 'GET /configs',
      action: { kind: 'status', status: 500, message: 'no leader' },
      times: failures,
    });
    party.startCore();
    const served: (string | undefined)[] = [];
    await eventually(
      async () => {
        served.push(party.served());
        return (await history(party))?.pin?.revision === 1;
      },
      { timeoutMs: 30_000 },
    );
    await eventually(() => fake.calls.slice(before).filter(({ status }) => status === 500).length >= failures);
    expect(served.some((file) => file?.includes('wrong.local'))).toBe(false);
  }, 90_000);
});

describe('interlock token rotate', () => {
  const tokens = (role: string) =>
    [...fake.swarm.store.secrets.values()].filter(({ Spec }) => Spec.Labels['com.docker.interlock.role'] === role);
  const mounted = (service: string) =>
    JSON.stringify(fake.swarm.service(service).Spec.TaskTemplate.ContainerSpec).match(/interlock\.token\.[\w.]+/g);

  it('replaces both tokens by one roll each, joins what is under way, and says when the old ones are gone', async () => {
    addApp('shop');
    const party = await prepare();
    party.startCore();
    party.startExtension();
    await untilServed(party, 'shop.local');
    const old = [...tokens('extension'), ...tokens('proxy')].map(({ Spec }) => Spec.Name);
    expect(old).toHaveLength(2);

    const begun = await party.ask('token', 'rotate', '--json');
    expect((JSON.parse(begun.stdout) as RotateReport).tokens).toMatchObject([
      { role: 'extension', joined: false },
      { role: 'proxy', joined: false },
    ]);
    const again = await party.ask('token', 'rotate', '--json', '--wait', '--timeout', '40');
    expect(again.exitCode).toBe(0);
    expect((JSON.parse(again.stdout) as RotateReport).tokens).toMatchObject([
      { role: 'extension', joined: true, state: 'done', older: [], secret: expect.stringMatching(/\.2$/) as string },
      { role: 'proxy', joined: true, state: 'done', older: [], secret: expect.stringMatching(/\.2$/) as string },
    ]);
    const now = [...tokens('extension'), ...tokens('proxy')].map(({ Spec }) => Spec.Name);
    expect(now).toHaveLength(2);
    expect(now.filter((name) => old.includes(name))).toEqual([]);
    expect(mounted('interlock-proxy')).toEqual(['interlock.token.default.proxy.2']);
    expect(mounted('interlock-extension')).toEqual(['interlock.token.default.extension.2']);
  }, 60_000);

  it('says what it cannot do', async () => {
    const party = await prepare();
    party.startCore();
    await eventually(async () => (await party.ask('token', 'rotate', '--role', 'proxy')).exitCode === 0, {
      timeoutMs: 20_000,
    });
    expect(await party.ask('token', 'rotate', '--extension', 'nope')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('config.toml has no [Extensions.nope]') as string,
    });
    expect((await party.ask('token', 'rotate', '--role', 'operator')).exitCode).toBe(64);
    expect((await party.ask('token')).exitCode).toBe(64);
    expect((await party.ask('token', 'rotate', '--timeout', '5')).exitCode).toBe(64);
  }, 40_000);
});

/** Addresses in the pools that the host's locations name. */
function endpointsNow(party: Daemons, host: string): number {
  const pool =
    party.served()?.match(new RegExp(`upstream [0-9a-f]{12}_${host.replaceAll('.', '[._]')}[^{]*\\{[^}]*`))?.[0] ?? '';
  return (pool.match(/server 10\./g) ?? []).length;
}
