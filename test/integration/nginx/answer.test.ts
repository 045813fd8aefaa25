/** `answerOf` (what `interlock explain` goes by) against a real NGINX with the rendered file. `SEED=n` takes other models. */
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, answerOf, type WebRequest } from '../../../src/model/answer.ts';
import { type ClusterModel, compareText, type HostEntry, type HostTls, type Pool } from '../../../src/model/cluster.ts';
import { createAuthority } from '../../support/certificates.ts';
import { freePort, startNginx } from '../../support/nginx.ts';
import { model as emptyModel, endpoint, host, pool, port, route } from '../../support/render-models.ts';
import { type RawAnswer, sendRaw } from './services.ts';
import { filesOf, redirect, secretsOf, sendTls, terminate } from './tls-clients.ts';

const authority = createAuthority();
const certificate = authority.issue(['*.test']);
const SECRETS = secretsOf({ cert: certificate });
const MODELS = 14;
const NAMES = ['a.test', 'b.a.test', '*.a.test', '*.b.a.test', 'x.b.a.test', 'c.test', '*.c.test'] as const;
const ASKED = ['a.test', 'b.a.test', 'z.a.test', 'x.b.a.test', 'q.x.b.a.test', 'c.test', 'z.c.test', 'unknown.test'];
const PATHS = [
  '/',
  '/app',
  '/app/',
  '/apple',
  '/app/deep/x',
  '/app/../x',
  '/%61pp',
  '//app//deep',
  '/app%2Fdeep',
].concat([
  '/../x',
  '/app/deep/..',
  '/app/.',
  '/%zz',
  '/APP/x',
  '/app?q=/app/deep',
  '/app/%2e%2e/app/deep',
  '/a%7Eb/',
  '/%00',
]);

/** Every address of loopback leads to these two, which answer with the one that was asked. */
let plain: number;
let secure: number;
const closers: (() => void)[] = [];

beforeAll(async () => {
  const http = createServer((request, response) => response.end(`to ${request.socket.localAddress}`));
  const https = createSecureServer({ cert: certificate.certificate, key: certificate.key }, (request, response) =>
    response.end(`past ${request.socket.localAddress}`),
  );
  for (const server of [http, https]) {
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
    closers.push(() => {
      server.closeAllConnections();
      server.close();
    });
  }
  plain = (http.address() as AddressInfo).port;
  secure = (https.address() as AddressInfo).port;
});
afterAll(() => {
  for (const close of closers) {
    close();
  }
});

/** A pool with an address of its own, or none. */
function poolAt(id: string, position: number, isFull: boolean, target: number): Pool {
  return pool(id, isFull ? [endpoint(`127.7.${Math.floor(position / 200)}.${(position % 200) + 1}`, target)] : []);
}

interface HostSeed {
  readonly name: string;
  readonly tls: 'none' | 'terminate' | 'terminate-only' | 'lost' | 'lost-only' | 'passthrough';
  readonly prefixes: readonly string[];
  readonly empty: readonly string[];
  readonly redirects: readonly string[];
}

interface Seed {
  readonly hosts: readonly HostSeed[];
  readonly fallback: HostSeed['tls'] | 'nobody';
  readonly isFallbackFull: boolean;
  readonly hop: boolean;
  readonly isPublished: boolean;
}

const TLS_KINDS = ['none', 'terminate', 'terminate-only', 'lost', 'lost-only', 'passthrough'] as const;
const PREFIXES = ['/', '/app', '/app/deep', '/APP', '/a~b'];

const seeds: fc.Arbitrary<Seed> = fc.record({
  hosts: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom(...NAMES),
      tls: fc.constantFrom(...TLS_KINDS),
      prefixes: fc.oneof(fc.constant(['/']), fc.subarray(PREFIXES, { minLength: 1 })),
      empty: fc.subarray(PREFIXES, { maxLength: 1 }),
      redirects: fc.oneof(fc.constant([]), fc.subarray(['http', 'https'])),
    }),
    { selector: ({ name }) => name, minLength: 1, maxLength: 6 },
  ),
  fallback: fc.constantFrom('nobody', ...TLS_KINDS),
  isFallbackFull: fc.boolean(),
  hop: fc.boolean(),
  isPublished: fc.boolean(),
});

/** Names that a wildcard which is passed through must not take along. */
const UNDER_A_WILDCARD: Seed = {
  hosts: (
    [
      ['*.a.test', 'passthrough'],
      ['b.a.test', 'none'],
      ['*.b.a.test', 'terminate'],
      ['x.b.a.test', 'terminate'],
    ] as const
  ).map(([name, tls]) => ({ name, tls, prefixes: ['/'], empty: [], redirects: [] })),
  fallback: 'nobody',
  isFallbackFull: false,
  hop: true,
  isPublished: true,
};

function tlsOf(kind: HostSeed['tls'], passedTo: string): HostTls {
  switch (kind) {
    case 'none':
      return { kind };
    case 'passthrough':
      return { kind, pool: passedTo };
    case 'lost':
    case 'lost-only':
      return { kind: 'lost', only: kind === 'lost-only' };
    case 'terminate':
    case 'terminate-only':
      return terminate('cert', kind === 'terminate-only');
  }
}

function modelFrom(seed: Seed, ports: { readonly http: number; readonly tls: number }): ClusterModel {
  const pools: Pool[] = [];
  const add = (id: string, isFull: boolean, target: number) => {
    pools.push(poolAt(id, pools.length, isFull, target));
    return id;
  };
  const hosts = seed.hosts.map(({ name, tls, prefixes, empty, redirects }): HostEntry => {
    const isPassed = tls === 'passthrough';
    const routes = isPassed ? [] : [...prefixes].sort(compareText);
    const routed = routes.map((prefix) => route(prefix, add(`${name}${prefix}`, !empty.includes(prefix), plain)));
    const passedTo = isPassed ? add(`tls:${name}`, empty.length === 0, secure) : '';
    const [from] = name.startsWith('*') ? [undefined] : [name];
    return {
      ...host(name, routed),
      tls: tlsOf(tls, passedTo),
      redirects:
        from === undefined ? [] : redirects.map((scheme) => redirect(`${scheme}://${from}`, 'https://to.test:99')),
    };
  });
  const isPassed = seed.fallback === 'passthrough';
  const fallback =
    seed.fallback === 'nobody' ? undefined : add('(default)', seed.isFallbackFull, isPassed ? secure : plain);
  const defaultTls = seed.fallback === 'nobody' ? tlsOf('none', '') : tlsOf(seed.fallback, '(default)');
  return {
    header: {
      ...emptyModel({}).header,
      listen: { http: port(ports.http), tls: port(ports.tls) },
      published: seed.isPublished
        ? { http: port(ports.http), tls: port(ports.tls) }
        : { http: undefined, tls: undefined },
      defaultPool: fallback,
      defaultTls,
      tlsHop: seed.hop || [defaultTls, ...hosts.map(({ tls }) => tls)].some(({ kind }) => kind === 'passthrough'),
    },
    hosts: [...hosts].sort((a, b) => compareText(a.host, b.host)),
    pools: [...pools].sort((a, b) => compareText(a.id, b.id)),
  };
}

/** What a client sees, in a few words. */
function foretold(answer: Answer, { path }: WebRequest): string {
  switch (answer.kind) {
    case 'pool':
      return answer.pool.endpoints[0] === undefined ? '503, come back' : `200 to ${answer.pool.endpoints[0].address}`;
    case 'passthrough':
      return answer.pool.endpoints[0] === undefined ? 'closed' : `200 past ${answer.pool.endpoints[0].address}`;
    case 'redirect':
      return `${answer.status} ${answer.to}${path}`;
    case 'unknown-host':
      return '503';
    case 'unknown-path':
      return '404';
    case 'handshake-refused':
      return 'refused';
    case 'bad-request':
      return '400';
  }
}

function seen({ status, headers, body }: RawAnswer): string {
  if (status === 503) {
    return headers['retry-after'] === undefined ? '503' : '503, come back';
  }
  return status === 200 ? `200 ${body}` : [status, headers['location'] ?? []].flat().join(' ');
}

async function ask({ scheme, host: name, port: portNumber, path }: WebRequest, { header: { listen } }: ClusterModel) {
  const authorityText = portNumber === undefined ? name : `${name}:${portNumber}`;
  const text = `GET ${path} HTTP/1.1\r\nHost: ${authorityText}\r\nConnection: close\r\n\r\n`;
  if (scheme === 'http') {
    return seen(await sendRaw(listen.http, text));
  }
  try {
    return seen(await sendTls(listen.tls, { sni: name }, text));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' ? 'refused' : 'closed';
  }
}

describe('what explain says', () => {
  it(`is what NGINX does, for every request to ${MODELS} random models and one known to be hard`, {
    timeout: 120_000,
  }, async () => {
    const seed = Number(process.env['SEED'] ?? 6);
    const counts = new Map<string, number>();
    for (const [round, each] of [UNDER_A_WILDCARD, ...fc.sample(seeds, { numRuns: MODELS, seed })].entries()) {
      const [http, tls] = await Promise.all([freePort(), freePort()]);
      const cluster = modelFrom(each, { http, tls });
      const nginx = await startNginx(filesOf(cluster), SECRETS);
      try {
        const requests = requestsFor(round, http);
        const answers = await Promise.all(requests.map((request) => ask(request, cluster)));
        const expected = requests.map((request) => foretold(answerOf(cluster, request), request));
        const told = requests.map((request, at) => `${urlOf(request)}: ${expected[at]}`);
        expect(
          requests.map((request, at) => `${urlOf(request)}: ${answers[at]}`),
          `seed ${seed}, round ${round}: ${JSON.stringify(each)}`,
        ).toEqual(told);
        for (const answer of expected) {
          const kind = answer
            .split(' ', 2)
            .join(' ')
            .replace(/ https.*/, '');
          counts.set(kind, (counts.get(kind) ?? 0) + 1);
        }
      } finally {
        await nginx.stop();
      }
    }
    // Not one sort of answer alone.
    expect(counts.size).toBeGreaterThanOrEqual(6);
  });
});

/** Each host by both schemes with the plain path; paths by turns. */
function requestsFor(round: number, http: number): readonly WebRequest[] {
  const hosts = ASKED.flatMap((name): WebRequest[] => [
    { scheme: 'http', host: name, port: undefined, path: '/' },
    { scheme: 'http', host: name, port: http, path: '/app/deep' },
    { scheme: 'https', host: name, port: undefined, path: '/app' },
  ]);
  const name = ASKED[round % ASKED.length] ?? '';
  const paths = PATHS.flatMap((path): WebRequest[] => [
    { scheme: 'http', host: 'a.test', port: undefined, path },
    { scheme: 'https', host: 'x.b.a.test', port: undefined, path },
    { scheme: 'http', host: name, port: undefined, path },
  ]);
  return [...hosts, ...paths];
}

function urlOf({ scheme, host: name, port: portNumber, path }: WebRequest): string {
  return `${scheme}://${name}${portNumber === undefined ? '' : `:${portNumber}`}${path}`;
}
