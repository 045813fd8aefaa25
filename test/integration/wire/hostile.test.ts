/**
 * Callers that mean no good, over real sockets, against each call of proto/interlock.proto: refused or bounded, counted, and nobody else is
 * disturbed. The server has core's own door and handlers; an extension with the right token follows its model all along, from an address of
 * its own, as in Swarm.
 */

import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type ChannelCredentials, Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTokenDoor } from '../../../src/core/access/door.ts';
import type { TokenRole } from '../../../src/core/access/names.ts';
import type { TokenSecret } from '../../../src/core/access/plan.ts';
import { createBoard } from '../../../src/core/board.ts';
import { createHandlers } from '../../../src/core/serve/handlers.ts';
import { findingKey } from '../../../src/model/finding.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { createWireClient, type WireClient } from '../../../src/wire/client.ts';
import type { AgentReport, ModelMessage } from '../../../src/wire/contract.ts';
import {
  MAX_CALLS_PER_PEER,
  MAX_CALLS_PER_PEER_AND_METHOD,
  MAX_REQUEST_BYTES,
  MAX_WATCHERS_PER_EXTENSION,
} from '../../../src/wire/limits.ts';
import { createWireServer, type WireServer } from '../../../src/wire/server.ts';
import { readTlsFiles, type TlsMaterial } from '../../../src/wire/tls-files.ts';
import { type Certificate, createAuthority } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';
import { extensionSettings } from '../../support/settings.ts';
import { next, revisionOf, SAMPLE_OPERATOR, sampleModel, silent, submissionOf } from '../../support/wire.ts';

const forever = new AbortController().signal;

type Role = TokenRole | 'operator';

/** Who may call what. A call of the contract that is not here fails the first test. */
const CALLS: Readonly<Record<string, Role>> = {
  '/interlock.v1.Models/Watch': 'extension',
  '/interlock.v1.Artifacts/Submit': 'extension',
  '/interlock.v1.Artifacts/Refuse': 'extension',
  '/interlock.v1.Agents/Session': 'proxy',
  '/interlock.v1.Agents/FetchBlobs': 'proxy',
  '/interlock.v1.Operator/Status': 'operator',
  '/interlock.v1.Operator/Routes': 'operator',
  '/interlock.v1.Operator/Services': 'operator',
  '/interlock.v1.Operator/Revisions': 'operator',
  '/interlock.v1.Operator/CompareRevisions': 'operator',
  '/interlock.v1.Operator/Rollback': 'operator',
  '/interlock.v1.Operator/Unpin': 'operator',
  '/interlock.v1.Operator/RotateTokens': 'operator',
  '/interlock.v1.Operator/Diagnose': 'operator',
};
const EACH_CALL = Object.entries(CALLS);
const WATCH = '/interlock.v1.Models/Watch';
const SESSION = '/interlock.v1.Agents/Session';

/** A token of its own for each table and role. */
function textOf(extension: string, role: Role): string {
  return `${extension}-${role}-`.padEnd(43, 'x');
}

function tokenOf(extension: string, role: TokenRole): TokenSecret {
  const sha256 = createHash('sha256').update(textOf(extension, role)).digest('hex');
  return { id: `${extension} ${role}`, name: `token.${extension}.${role}.1`, extension, role, generation: 1, sha256 };
}

interface House {
  readonly server: WireServer;
  readonly port: number;
  readonly socket: string;
  /** How often a call ended with a status, by `<call> <STATUS>`. */
  readonly ends: Map<string, number>;
  publish(mark: string, pools?: number): void;
}

let folder: string;
let house: House;
let good: WireClient;
let stream: AsyncIterator<ModelMessage>;
let sequence = 0;

async function build(tls?: TlsMaterial): Promise<House> {
  const board = createBoard([extensionSettings()], findingKey, { onNew: () => undefined, onGone: () => undefined });
  const facts = {
    version: '1',
    epoch: 'life1',
    taskFeed: () => ({ kind: 'poll', reason: '' }) as const,
    clock: systemClock,
  };
  const door = createTokenDoor(() => undefined);
  door.accept([
    tokenOf('default', 'extension'),
    tokenOf('default', 'proxy'),
    tokenOf('other', 'extension'),
    tokenOf('other', 'proxy'),
  ]);
  const ends = new Map<string, number>();
  const socket = path.join(folder, `${Math.random()}`, 'operator.sock');
  const server = createWireServer({
    listen: { host: ['127.0.0.1', '::1'], port: 0 },
    tls,
    handlers: createHandlers(board, facts, silent),
    operator: SAMPLE_OPERATOR,
    authenticate: door.authenticate,
    onCallEnd: (call, code) => ends.set(`${call} ${code}`, (ends.get(`${call} ${code}`) ?? 0) + 1),
    operatorSocket: socket,
    logger: silent,
  });
  const { port } = await server.start();
  return {
    server,
    port,
    socket,
    ends,
    publish(mark, pools = 1) {
      sequence += 1;
      const model = sampleModel(mark, pools);
      board.extensions.get('default')?.model.set({ revision: revisionOf(model, sequence), model });
    },
  };
}

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'interlock-hostile-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  house = await build();
  house.publish('first');
  const token = textOf('default', 'extension');
  const identity = { role: 'extension', extension: 'default', token, version: '1' } as const;
  good = createWireClient({ endpoint: `[::1]:${house.port}`, identity });
  stream = good.watchModel(undefined, forever)[Symbol.asyncIterator]();
  await next(stream);
});

/** Whatever happened in a test: the extension goes on as if nothing had. */
afterEach(async () => {
  house.publish(`after ${sequence}`);
  const wanted = sequence;
  let seen: ModelMessage;
  do {
    seen = await next(stream);
  } while (seen.revision.sequence < wanted);
  expect(await good.submitArtifact(submissionOf(seen.revision, 'events {}', false), forever)).toMatchObject({
    kind: 'missing',
  });
  good.close();
  await house.server.stop(0);
});

function counted(call: string, code: string): number {
  return house.ends.get(`${call.slice(1)} ${code}`) ?? 0;
}

interface Knock {
  readonly target?: string;
  readonly role?: Role;
  readonly extension?: string;
  readonly token?: string | undefined;
  readonly bytes?: Buffer;
  readonly channel?: ChannelCredentials;
}

/** One call with one message: the status it ends with, `OK` at the first answer. */
async function knock(call: string, how: Knock): Promise<string> {
  const { target = `127.0.0.1:${house.port}`, role, extension = 'default', token, bytes = Buffer.alloc(0) } = how;
  const client = new Client(target, how.channel ?? credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_send_message_length': -1,
    'grpc.enable_retries': 0,
  });
  const metadata = new Metadata();
  const entries = { 'interlock-role': role, 'interlock-extension': extension, 'interlock-token': token };
  for (const [key, value] of Object.entries(entries)) {
    if (value !== undefined) {
      metadata.set(key, value);
    }
  }
  const asIs = (value: Buffer): Buffer => value;
  const stub = client.makeBidiStreamRequest(call, asIs, asIs, metadata, { deadline: Date.now() + 20_000 });
  try {
    return await new Promise<string>((resolve) => {
      stub.on('error', (error: ServiceError) => resolve(status[error.code]));
      stub.on('status', ({ code }) => resolve(status[code]));
      stub.on('data', () => {
        resolve('OK');
        stub.cancel();
      });
      stub.write(bytes);
      stub.end();
    });
  } finally {
    client.close();
  }
}

/** As one who may make the call. */
function allowed(call: string): Knock {
  const role = CALLS[call] ?? 'operator';
  return role === 'operator' ? { target: `unix:${house.socket}`, role } : { role, token: textOf('default', role) };
}

describe('the contract', () => {
  it('has no call but those that are tried here', () => {
    const file = new URL('../../../proto/interlock.proto', import.meta.url);
    const services = Object.entries(loadSync(file.pathname)).filter(([, definition]) => !('format' in definition));
    const calls = services.flatMap(([, service]) => Object.values(service as ServiceDefinition));
    expect(calls.map((call) => call.path).sort()).toEqual(Object.keys(CALLS).sort());
  });
});

describe.each(EACH_CALL)('%s', (call, role) => {
  const other = role === 'proxy' ? 'extension' : 'proxy';
  const mine = role === 'operator' ? 'UNAUTHENTICATED' : 'PERMISSION_DENIED';

  it.each<readonly [string, Knock, string]>([
    ['no token', { role }, 'UNAUTHENTICATED'],
    ['a wrong token', { role, token: 'w'.repeat(43) }, 'UNAUTHENTICATED'],
    ["another cluster's token", { role, token: textOf('other', role === 'operator' ? 'proxy' : role) }, mine],
    ["another role's token", { role, token: textOf('default', other) }, mine],
    ['no role', { token: textOf('default', role) }, 'UNAUTHENTICATED'],
  ])('with %s is refused, and counted', async (_what, how, code) => {
    expect(await knock(call, how)).toBe(code);
    expect(counted(call, code)).toBe(1);
  });

  it('as a role that it is not for is refused, and counted', async () => {
    const wrong = role === 'extension' ? 'proxy' : 'extension';
    expect(await knock(call, { role: wrong, token: textOf('default', wrong) })).toBe('PERMISSION_DENIED');
    expect(counted(call, 'PERMISSION_DENIED')).toBe(1);
  });

  it('with bytes that are no message is refused, and counted', async () => {
    const bytes = Buffer.alloc(4_096, 0xff);
    expect(await knock(call, { ...allowed(call), bytes })).toBe('INVALID_ARGUMENT');
    expect(counted(call, 'INVALID_ARGUMENT')).toBe(1);
  });

  it('with a message over the limit is refused, and counted', async () => {
    const bytes = Buffer.alloc(MAX_REQUEST_BYTES + 1, 0x0a);
    expect(await knock(call, { ...allowed(call), bytes })).toBe('RESOURCE_EXHAUSTED');
    expect(counted(call, 'RESOURCE_EXHAUSTED')).toBe(1);
  });
});

/** Calls on one connection that send no message more, and read nothing when `mute`. */
class Caller {
  readonly session: ClientHttp2Session;
  readonly open: ClientHttp2Stream[] = [];
  readonly statuses: string[] = [];

  constructor(settings: { readonly initialWindowSize?: number } = {}) {
    this.session = connectHttp2(`http://127.0.0.1:${house.port}`, { settings });
    this.session.on('error', () => undefined);
  }

  call(path: string, role: TokenRole, { mute = false, bytes = Buffer.alloc(0) } = {}): void {
    const request = this.session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'interlock-role': role,
      'interlock-extension': 'default',
      'interlock-token': textOf('default', role),
    });
    request.on('error', () => undefined);
    request.on('response', (headers) => this.statuses.push(String(headers['grpc-status'] ?? 'open')));
    if (!mute) {
      request.resume();
    }
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(bytes.length, 1);
    request.write(Buffer.concat([frame, bytes]));
    if (path !== SESSION) {
      request.end(); // the one request that these calls take
    }
    this.open.push(request);
  }

  close(): void {
    this.session.destroy();
  }
}

/** What each of so many calls came to. */
async function answersOf(callers: readonly Caller[], count: number): Promise<readonly string[]> {
  return eventually(
    () => {
      const all = callers.flatMap(({ statuses }) => statuses);
      expect(all.length).toBeGreaterThanOrEqual(count);
      return all;
    },
    { timeoutMs: 30_000 },
  );
}

const EXHAUSTED = String(status.RESOURCE_EXHAUSTED);

describe('a thousand idle streams of one address', () => {
  it.each([
    ['of the health service, which is open to all', '/grpc.health.v1.Health/Watch', MAX_CALLS_PER_PEER_AND_METHOD],
    ["of a table's model", WATCH, MAX_WATCHERS_PER_EXTENSION - 1], // the good one is one more
  ])('%s: some are served, the others are refused and counted', async (_what, call, room) => {
    const callers = Array.from({ length: 10 }, () => new Caller());
    for (const caller of callers) {
      for (let at = 0; at < 100; at += 1) {
        caller.call(call, 'extension');
      }
    }
    const answers = await answersOf(callers, 1_000);
    expect(answers.filter((answer) => answer === 'open')).toHaveLength(room);
    expect(answers.filter((answer) => answer === EXHAUSTED)).toHaveLength(1_000 - room);
    expect(counted(call, 'RESOURCE_EXHAUSTED')).toBe(1_000 - room);
    for (const caller of callers) {
      caller.close();
    }
  });

  it('of agents: as many as one address may have, and there is room again when they are gone', async () => {
    const callers = Array.from({ length: 10 }, () => new Caller());
    for (const caller of callers) {
      for (let at = 0; at < 100; at += 1) {
        caller.call(SESSION, 'proxy');
      }
    }
    // An empty message is no hello: what got in ends by itself, or has been refused; none is left.
    await eventually(
      () => {
        const ended = [...house.ends].filter(([key]) => key.startsWith(SESSION.slice(1)));
        expect(ended.reduce((sum, [, count]) => sum + count, 0)).toBe(1_000);
      },
      { timeoutMs: 30_000 },
    );
    for (const caller of callers) {
      caller.close();
    }
    expect(MAX_CALLS_PER_PEER).toBeLessThan(1_000);
    expect(await knock(WATCH, allowed(WATCH))).toBe('OK');
  });
});

describe('a slow reader', () => {
  it('holds one message, however often the model changes', async () => {
    house.publish('large', 2_000);
    const caller = new Caller({ initialWindowSize: 1_024 });
    for (let at = 0; at < MAX_WATCHERS_PER_EXTENSION - 1; at += 1) {
      caller.call(WATCH, 'extension', { mute: true });
    }
    await answersOf([caller], MAX_WATCHERS_PER_EXTENSION - 1);
    const before = process.memoryUsage();
    // Each is some 400 KB on the wire: queued for each reader they would be 240 MB.
    for (let round = 0; round < 40; round += 1) {
      house.publish(`large ${round}`, 2_000);
      const wanted = sequence;
      let seen: ModelMessage;
      do {
        seen = await next(stream);
      } while (seen.revision.sequence < wanted);
    }
    const after = process.memoryUsage();
    expect((after.arrayBuffers - before.arrayBuffers) / 1024 ** 2).toBeLessThan(100);
    caller.close();
  });
});

describe('an agent that floods core with reports', () => {
  it('loses its session, counted', async () => {
    const token = textOf('default', 'proxy');
    const identity = { role: 'proxy', extension: 'default', token, version: '1' } as const;
    const agent = createWireClient({ endpoint: `127.0.0.1:${house.port}`, identity });
    const report: AgentReport = {
      artifactDigest: 'a'.repeat(64),
      outcome: { kind: 'refused', reason: 'x'.repeat(4_096) },
      durationMs: 0,
      findings: [],
    };
    async function* flood(signal: AbortSignal): AsyncIterable<AgentReport> {
      while (!signal.aborted) {
        await Promise.resolve();
        yield report;
      }
    }
    const hello = { taskId: 't1', nodeId: 'n1', proxyVersion: '1.30.6', artifactDigest: undefined };
    const session = agent.agentSession(hello, flood, forever)[Symbol.asyncIterator]();
    await expect(session.next()).rejects.toMatchObject({ code: 'WIRE.REFUSED', facts: { reason: 'exhausted' } });
    expect(counted(SESSION, 'RESOURCE_EXHAUSTED')).toBe(1);
    agent.close();
  });
});

describe('mutual TLS', () => {
  const authority = createAuthority('control');
  const stranger = createAuthority('control'); // the same name, another key
  const core = authority.issue(['localhost', '127.0.0.1']);
  const client = authority.issue(['client']);

  async function material(of: Certificate, ca = authority.certificate): Promise<TlsMaterial> {
    const at = path.join(folder, `${Math.random()}`);
    const paths = { certPath: `${at}.crt`, keyPath: `${at}.key`, caPath: `${at}.ca` };
    await writeFile(paths.certPath, of.certificate);
    await writeFile(paths.keyPath, of.key);
    await writeFile(paths.caPath, ca);
    return readTlsFiles(paths);
  }

  function channel({ cert, key, ca }: TlsMaterial): ChannelCredentials {
    return credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert));
  }

  async function withCore(of: Certificate, act: (secure: House) => Promise<void>): Promise<void> {
    const secure = await build(await material(of));
    secure.publish('secure');
    try {
      await act(secure);
    } finally {
      await secure.server.stop(0);
    }
  }

  it.each(EACH_CALL.filter(([, role]) => role !== 'operator'))(
    '%s: only with a good certificate',
    async (call, role) => {
      await withCore(core, async (secure) => {
        const target = `localhost:${secure.port}`;
        const token = textOf('default', role);
        const bad: readonly (readonly [string, ChannelCredentials])[] = [
          ['plain', credentials.createInsecure()],
          ['none', credentials.createSsl(Buffer.from(authority.certificate))],
          ['expired', channel(await material(authority.issue(['client'], { expired: true })))],
          ["another CA's", channel(await material(stranger.issue(['client'])))],
        ];
        for (const [what, each] of bad) {
          expect([what, await knock(call, { target, role, token, channel: each })]).toEqual([what, 'UNAVAILABLE']);
        }
        expect([...secure.ends.keys()]).toEqual(['connection UNAUTHENTICATED']);

        // Then the token counts as ever.
        const right = channel(await material(client));
        expect(await knock(call, { target, role, channel: right })).toBe('UNAUTHENTICATED');
        const answer = await knock(call, { target, role, token, channel: right, bytes: Buffer.alloc(64, 0xff) });
        expect(answer).toBe('INVALID_ARGUMENT');
      });
    },
  );

  it.each([
    ['has expired', authority.issue(['localhost'], { expired: true })],
    ['is for another host', authority.issue(['elsewhere'])],
    ['is of another CA', stranger.issue(['localhost'])],
  ])('a core whose certificate %s is talked to by nobody', async (_what, certificate) => {
    await withCore(certificate, async (secure) => {
      const token = textOf('default', 'extension');
      const identity = { role: 'extension', extension: 'default', token, version: '1' } as const;
      const tls = await material(client);
      const caller = createWireClient({ endpoint: `localhost:${secure.port}`, identity, tls });
      const first = caller.watchModel(undefined, forever)[Symbol.asyncIterator]().next();
      await expect(first).rejects.toMatchObject({ code: 'WIRE.UNREACHABLE' });
      caller.close();
    });
  });

  it('our client and our server understand each other', async () => {
    await withCore(core, async (secure) => {
      const token = textOf('default', 'extension');
      const identity = { role: 'extension', extension: 'default', token, version: '1' } as const;
      const tls = await material(client);
      const caller = createWireClient({ endpoint: `localhost:${secure.port}`, identity, tls });
      const following = caller.watchModel(undefined, forever)[Symbol.asyncIterator]();
      await next(following);
      secure.publish('more');
      expect((await next(following)).revision.sequence).toBe(sequence);
      caller.close();
    });
  });

  it('operators need no certificate on the unix socket', async () => {
    await withCore(core, async (secure) => {
      const caller = createWireClient({
        endpoint: `unix:${secure.socket}`,
        identity: { role: 'operator', version: '1' },
      });
      expect(await caller.operator.status({}, forever)).toBeDefined();
      caller.close();
    });
  });

  it('a connection that is not TLS, or says nothing, is no harm', async () => {
    await withCore(core, async (secure) => {
      const plain = connectHttp2(`http://127.0.0.1:${secure.port}`);
      await new Promise((resolve) => plain.on('close', resolve).on('error', () => undefined));
      await eventually(() => {
        expect(secure.ends.get('connection UNAUTHENTICATED')).toBe(1);
      });
    });
  });

  it.each([
    ['a key of another certificate', () => ({ ...core, key: client.key }), 'SETTINGS.INVALID'],
    ['no PEM', () => ({ ...core, certificate: 'nothing' }), 'SETTINGS.INVALID'],
  ])('with %s is no start', async (_what, of, code) => {
    await expect(material(of())).rejects.toMatchObject({ code });
  });
});
