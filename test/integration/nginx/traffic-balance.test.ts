/** Sticky cookies, hashes by client address and weights, through a real NGINX to ten servers on loopback. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClusterModel, Endpoint, Pool } from '../../../src/model/cluster.ts';
import type { Balance } from '../../../src/model/intent.ts';
import type { CookieName } from '../../../src/model/names.ts';
import { eventually } from '../../support/eventually.ts';
import { endpoint, local, model } from '../../support/render-models.ts';
import { startProxy, type TestProxy } from './proxy.ts';
import { type EchoService, startEcho, webSocketEcho } from './services.ts';

const SERVERS = 10;
/** Cookies whose server is compared. */
const COOKIES = Array.from({ length: 200 }, (_, index) => `session-${index}`);

let servers: readonly EchoService[];

beforeAll(async () => {
  servers = await Promise.all(Array.from({ length: SERVERS }, (_, index) => startEcho(`server-${index}`)));
});

afterAll(async () => {
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
});

function first(count: number): readonly Endpoint[] {
  return local(...servers.slice(0, count).map(({ port }) => port));
}

function balanced(cluster: ClusterModel, balances: Readonly<Record<string, Balance>>): ClusterModel {
  const change = (pool: Pool): Pool => ({ ...pool, balance: balances[pool.id] ?? pool.balance });
  return { ...cluster, pools: cluster.pools.map(change) };
}

function cookie(name: string): Balance {
  return { kind: 'cookie', cookie: name as CookieName };
}

/** The port of the server that answered. */
async function ask(proxy: TestProxy, host: string, headers: Record<string, string> = {}, path = '/'): Promise<string> {
  const answer = await proxy.get(host, path, headers);
  expect(answer.status).toBe(200);
  return (JSON.parse(answer.body) as { service: string }).service;
}

async function askAll(proxy: TestProxy, host: string, all: readonly Record<string, string>[]): Promise<string[]> {
  const answers: string[] = [];
  for (const headers of all) {
    answers.push(await ask(proxy, host, headers));
  }
  return answers;
}

function shares(answers: readonly string[]): Record<string, number> {
  const count: Record<string, number> = {};
  for (const name of answers) {
    count[name] = (count[name] ?? 0) + 1;
  }
  return count;
}

describe('a sticky cookie', () => {
  const NAMES: Readonly<Record<string, string>> = {
    'plain.local/': 'sid',
    'dashes.local/': 'my-sid',
    'odd.local/': '!#%&*+.^_|~-9a',
    'upper.local/': 'JSESSIONID',
  };
  let proxy: TestProxy;

  beforeAll(async () => {
    const hosts = Object.fromEntries(Object.keys(NAMES).map((id) => [id.slice(0, -1), { '/': first(SERVERS) }]));
    const cluster = model({
      ...hosts,
      'paths.local': { '/a': first(SERVERS), '/b': first(SERVERS) },
      'passed.local': { '/': first(SERVERS) },
      'nobody.local': { '/': [] },
    });
    const cookies = Object.fromEntries(Object.entries(NAMES).map(([id, name]) => [id, cookie(name)]));
    const sticky = balanced(cluster, {
      ...cookies,
      'paths.local/a': cookie('a'),
      'paths.local/b': cookie('b'),
      'nobody.local/': cookie('none'),
    });
    proxy = await startProxy({ ...sticky, header: { ...sticky.header, defaultPool: 'dashes.local/' } });
  }, 60_000);

  afterAll(() => proxy.stop());

  it.each(Object.entries(NAMES))(
    'of %s sends the same value of %s to the same server, others elsewhere',
    async (id, name) => {
      const host = id.slice(0, -1);
      const values = COOKIES.slice(0, 40).map((value) => ({ Cookie: `other=1; ${name}=${value}; last=2` }));

      const answers = await askAll(proxy, host, values);

      expect(await askAll(proxy, host, values)).toEqual(answers);
      expect(new Set(answers).size).toBeGreaterThan(SERVERS / 2);
    },
  );

  it.each([
    ['no cookie at all', {}],
    ['an empty value', { Cookie: 'sid=' }],
    ['other cookies', { Cookie: 'asid=1; sid2=1; x=sid=1' }],
    ['the name in another case', { Cookie: 'SID=1' }],
  ])('spreads clients with %s', async (_name, headers) => {
    const answers = await askAll(
      proxy,
      'plain.local',
      Array.from({ length: 3 * SERVERS }, () => headers),
    );

    expect(Object.keys(shares(answers))).toHaveLength(SERVERS);
    expect(Math.max(...Object.values(shares(answers)))).toBeLessThanOrEqual(6);
  });

  it('is found wherever it stands, in one header or several, and only by its whole name', async () => {
    const [server] = await askAll(proxy, 'dashes.local', [{ Cookie: 'my-sid=x' }]);
    const written = [
      'my-sid=x; a=b',
      'a=b; my-sid=x',
      'a=b;my-sid=x',
      'my=y; my-sid=x; sid=z',
      'not-my-sid=y; my-sid=x',
      'my-sid=x; my-sid=y',
    ];

    expect(
      await askAll(
        proxy,
        'dashes.local',
        written.map((text) => ({ Cookie: text })),
      ),
    ).toEqual(written.map(() => server));
    expect(await ask(proxy, 'dashes.local', { Cookie: 'a=1\r\nCookie: my-sid=x' })).toBe(server);
  });

  it('does not read a cookie whose name begins like it', async () => {
    const answers = await askAll(
      proxy,
      'dashes.local',
      Array.from({ length: 20 }, () => ({ Cookie: 'my=same; sid=same' })),
    );

    expect(new Set(answers).size).toBeGreaterThan(1);
  });

  it('is one per path, and works in the default pool', async () => {
    const both = { Cookie: 'a=1; b=2' };
    const ofA = [
      await ask(proxy, 'paths.local', both, '/a'),
      await ask(proxy, 'paths.local', { Cookie: 'a=1' }, '/a/x'),
    ];
    const ofB = [
      await ask(proxy, 'paths.local', both, '/b'),
      await ask(proxy, 'paths.local', { Cookie: 'b=2' }, '/b/x'),
    ];
    const [ofDefault] = await askAll(proxy, 'dashes.local', [{ Cookie: 'my-sid=x' }]);

    expect(ofA[0]).toBe(ofA[1]);
    expect(ofB[0]).toBe(ofB[1]);
    expect(await ask(proxy, 'unknown.local', { Cookie: 'my-sid=x' })).toBe(ofDefault);
  });

  it('holds for WebSockets', async () => {
    const opened = await webSocketEcho(proxy.http, 'plain.local', '/', { Cookie: 'sid=1' });

    expect(opened).toMatchObject({ status: 101, echoed: 'ping' });
  });

  it('of a kilobyte, or in a header full of semicolons, costs nothing but its length', async () => {
    const long = { Cookie: `${'; '.repeat(1000)}sid=${'v'.repeat(1024)}; ${';'.repeat(1000)}` };

    expect(await ask(proxy, 'plain.local', long)).toBe(await ask(proxy, 'plain.local', long));
  });

  it('whose server is gone goes to another one, always the same', async () => {
    const dead = local(1);
    await using half = await startProxy(
      balanced(model({ 'app.local': { '/': [...first(3), ...dead] } }), { 'app.local/': cookie('sid') }),
    );
    const values = COOKIES.slice(0, 40).map((value) => ({ Cookie: `sid=${value}` }));

    const answers = await askAll(half, 'app.local', values);

    expect(await askAll(half, 'app.local', values)).toEqual(answers);
  });
});

describe('adding a replica', () => {
  it('moves about 1/n of the cookies, all of them to the new one', async () => {
    const cluster = (count: number, marker: string) =>
      balanced(model({ 'app.local': { '/': first(count) }, [marker]: { '/': first(1) } }), {
        'app.local/': cookie('sid'),
      });
    await using proxy = await startProxy(cluster(SERVERS - 1, 'before.local'));
    const values = COOKIES.map((value) => ({ Cookie: `sid=${value}` }));

    const before = await askAll(proxy, 'app.local', values);
    await proxy.reload(cluster(SERVERS, 'after.local'));
    await eventually(async () => expect((await proxy.get('after.local')).status).toBe(200));
    const after = await askAll(proxy, 'app.local', values);

    const moved = after.filter((server, index) => server !== before[index]);
    expect(moved.length).toBeGreaterThan(COOKIES.length * 0.03);
    expect(moved.length).toBeLessThan(COOKIES.length * 0.25);
    expect(new Set(moved)).toEqual(new Set([`server-${SERVERS - 1}`]));
  });
});

describe('weights', () => {
  const weighted = () => [
    ...local(servers[0]?.port ?? 0).map(({ address, port }) => endpoint(address, port, 4)),
    ...local(servers[1]?.port ?? 0),
  ];

  it('share by turns exactly', async () => {
    await using proxy = await startProxy(model({ 'app.local': { '/': weighted() } }), { WorkerProcesses: 1 });
    const answers = await askAll(
      proxy,
      'app.local',
      Array.from({ length: 50 }, () => ({})),
    );

    expect(shares(answers)).toEqual({ 'server-0': 40, 'server-1': 10 });
  });

  it('share the cookies too', async () => {
    await using proxy = await startProxy(
      balanced(model({ 'app.local': { '/': weighted() } }), { 'app.local/': cookie('sid') }),
    );
    const answers = shares(
      await askAll(
        proxy,
        'app.local',
        COOKIES.map((value) => ({ Cookie: `sid=${value}` })),
      ),
    );

    expect(answers['server-1'] ?? 0).toBeGreaterThan(COOKIES.length * 0.1);
    expect(answers['server-1'] ?? 0).toBeLessThan(COOKIES.length * 0.35);
  });
});

const BY_ADDRESS: readonly (readonly [string, Balance, Record<string, unknown>])[] = [
  ['the label', { kind: 'client-address' }, {}],
  ['the option', { kind: 'round-robin' }, { IPHash: true }],
];

describe.each(BY_ADDRESS)('ip_hash by %s', (_name, balance, config) => {
  it('keeps a client on its server, by its whole address, IPv4 or IPv6, as a trusted balancer tells it', async () => {
    await using proxy = await startProxy(
      balanced(model({ 'app.local': { '/': first(SERVERS) } }), { 'app.local/': balance }),
      { TrustedProxies: ['127.0.0.1'], ...config },
    );
    const lastOctet = Array.from({ length: 30 }, (_, index) => ({ 'X-Forwarded-For': `192.0.2.${index}` }));
    const lastGroup = Array.from({ length: 30 }, (_, index) => ({
      'X-Forwarded-For': `2001:db8::${index.toString(16)}`,
    }));

    for (const clients of [lastOctet, lastGroup]) {
      const answers = await askAll(proxy, 'app.local', clients);
      expect(await askAll(proxy, 'app.local', clients)).toEqual(answers);
      expect(new Set(answers).size).toBeGreaterThan(SERVERS / 2);
    }
    expect(
      new Set(
        await askAll(
          proxy,
          'app.local',
          Array.from({ length: 10 }, () => ({})),
        ),
      ).size,
    ).toBe(1);
  });
});

it('a cookie wins over the option IPHash', async () => {
  await using proxy = await startProxy(
    balanced(model({ 'app.local': { '/': first(SERVERS) } }), { 'app.local/': cookie('sid') }),
    { IPHash: true },
  );
  const answers = await askAll(
    proxy,
    'app.local',
    COOKIES.slice(0, 40).map((value) => ({ Cookie: `sid=${value}` })),
  );

  expect(new Set(answers).size).toBeGreaterThan(SERVERS / 2);
});
