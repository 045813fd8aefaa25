/** The door of the server: each call with each kind of bad credentials, what that costs, and what is told of it. */
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OperationalError } from '../../../src/runtime/errors.ts';
import { createLogger } from '../../../src/runtime/logging.ts';
import type { Authenticate } from '../../../src/wire/admission.ts';
import { createWireClient } from '../../../src/wire/client.ts';
import { refusal } from '../../../src/wire/errors.ts';
import { METHODS, ROLE_OF_PATH } from '../../../src/wire/methods.ts';
import { OPERATOR } from '../../../src/wire/operator.ts';
import type { BytesMethod } from '../../../src/wire/proto.ts';
import { createWireServer } from '../../../src/wire/server.ts';
import { createManualClock } from '../../fakes/manual-clock.ts';
import {
  appears,
  createFakeCore,
  createWireBench,
  full,
  next,
  revisionOf,
  SAMPLE_OPERATOR,
  SAMPLE_STATUS,
  sampleModel,
  silent,
  submissionOf,
  type WireBench,
} from '../../support/wire.ts';

const forever = new AbortController().signal;
const RIGHT = 'r'.repeat(43);

/** As core's does: the token of the role `extension` of the table `default` is RIGHT, that of `other` is known too. */
const authenticate: Authenticate = ({ role, extension, token }) => {
  if (token === undefined || !['r', 'o', 'p'].some((letter) => token === letter.repeat(43))) {
    throw refusal('unauthenticated', 'unknown');
  }
  if (token !== RIGHT || role !== 'extension' || extension !== 'default') {
    throw refusal('permission-denied', "somebody else's");
  }
};

let bench: WireBench;
beforeEach(() => {
  bench = createWireBench();
});
afterEach(() => bench.close());

/** One that has a model to hand out. */
function servingCore() {
  const core = createFakeCore();
  core.messages.set(full(sampleModel('a'), 1));
  return core;
}

type Entries = readonly (readonly [string, string])[];
const WHO: Entries = [
  ['interlock-role', 'extension'],
  ['interlock-extension', 'default'],
];

/** Any call, with whatever metadata: the status it ends with. Messages and half-close come from the client as for its kind. */
function statusOfCall(target: string, method: BytesMethod, entries: Entries, bytes = Buffer.alloc(0)): Promise<string> {
  const client = new Client(target, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_send_message_length': -1,
  });
  const metadata = new Metadata();
  for (const [key, value] of entries) {
    metadata.add(key, value);
  }
  const { path: where, requestSerialize, responseDeserialize } = method;
  const call = client.makeBidiStreamRequest(where, requestSerialize, responseDeserialize, metadata);
  return new Promise<string>((resolve) => {
    call.on('status', ({ code }) => resolve(status[code]));
    call.on('error', (error: ServiceError) => resolve(status[error.code]));
    call.on('data', () => {
      resolve('OK');
      call.cancel();
    });
    call.write(bytes);
    call.end();
  }).finally(() => client.close());
}

/** All calls of the contract: one that is added is here without a word, and must be refused like the others. */
const CALLS = Object.entries(METHODS).filter(([, { path: where }]) => !where.startsWith('/grpc.health.'));

describe.each(CALLS)('%s', (_name, method) => {
  it.each<readonly [string, Entries, string]>([
    ['no metadata at all', [], 'UNAUTHENTICATED'],
    ['no token', WHO, 'UNAUTHENTICATED'],
    ['an empty token', [...WHO, ['interlock-token', '']], 'UNAUTHENTICATED'],
    ['a wrong token', [...WHO, ['interlock-token', 'w'.repeat(43)]], 'UNAUTHENTICATED'],
    ['a wrong one of another length', [...WHO, ['interlock-token', 'w']], 'UNAUTHENTICATED'],
    ["another cluster's", [...WHO, ['interlock-token', 'o'.repeat(43)]], 'PERMISSION_DENIED'],
    ["another role's", [...WHO, ['interlock-token', 'p'.repeat(43)]], 'PERMISSION_DENIED'],
    ['a huge one', [...WHO, ['interlock-token', 'r'.repeat(8_000)]], 'UNAUTHENTICATED'],
    ['a right one given twice', [...WHO, ['interlock-token', RIGHT], ['interlock-token', RIGHT]], 'UNAUTHENTICATED'],
    [
      'the right one and the role given twice',
      [...WHO, ['interlock-role', 'proxy'], ['interlock-token', RIGHT]],
      'UNAUTHENTICATED',
    ],
    [
      'the right one for another table',
      [WHO[0] ?? ['', ''], ['interlock-extension', 'other'], ['interlock-token', RIGHT]],
      'PERMISSION_DENIED',
    ],
  ])('with %s is refused', async (_what, entries, expected) => {
    const core = createFakeCore();
    const { port } = await bench.serve(core.handlers, 0, authenticate);

    expect(await statusOfCall(`127.0.0.1:${port}`, method, entries)).toBe(expected);
    expect([core.watchers, core.submissions, core.refusals]).toEqual([[], [], []]);
  });

  it('with the right token is let in, where it is for this role', async () => {
    const core = createFakeCore();
    core.messages.set(full(sampleModel('a'), 1));
    const { port } = await bench.serve(core.handlers, 0, authenticate);

    const ended = await statusOfCall(`127.0.0.1:${port}`, method, [...WHO, ['interlock-token', RIGHT]]);

    const isMine = ROLE_OF_PATH.get(method.path) === 'extension';
    expect(['UNAUTHENTICATED', 'PERMISSION_DENIED'].includes(ended)).toBe(!isMine);
  });
});

describe('a refused call', () => {
  it('is not read: 16 MiB behind wrong credentials are refused by the headers', async () => {
    const { port } = await bench.serve(createFakeCore().handlers, 0, authenticate);
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', () => undefined);
    const request = session.request({
      ':method': 'POST',
      ':path': METHODS.submitArtifact.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    request.on('error', () => undefined);
    const answered = new Promise((resolve) => request.on('response', (headers) => resolve(headers['grpc-status'])));
    const frame = Buffer.alloc(5 + 16 * 1024 * 1024);
    frame.writeUInt32BE(16 * 1024 * 1024, 1);
    request.write(frame.subarray(0, 100)); // the rest never comes, nor does an end

    expect(await answered).toBe(String(status.UNAUTHENTICATED));
    session.destroy();
  });

  it('harms no others: a stream that is open lives on through a thousand of them', async () => {
    const core = createFakeCore();
    core.messages.set(full(sampleModel('a'), 1));
    const { port } = await bench.serve(core.handlers, 0, authenticate);
    const identity = { role: 'extension', extension: 'default', version: '1', token: RIGHT } as const;
    const good = createWireClient({ endpoint: `127.0.0.1:${port}`, identity });
    const stream = good.watchModel(undefined, forever)[Symbol.asyncIterator]();
    await next(stream);

    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const seen = new Set<unknown>();
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(
        Array.from({ length: 50 }, async () => {
          const request = session.request({
            ':method': 'POST',
            ':path': METHODS.watchModel.path,
            'content-type': 'application/grpc',
            te: 'trailers',
          });
          request.on('response', (headers) => seen.add(headers['grpc-status']));
          request.resume().end();
          await new Promise((resolve) => request.on('close', resolve));
        }),
      );
    }
    session.destroy();

    expect([...seen]).toEqual([String(status.UNAUTHENTICATED)]);
    core.messages.set(full(sampleModel('b'), 2));
    expect((await next(stream)).revision.sequence).toBe(2);
    good.close();
  });

  it('is told of once per peer and minute, counted, and never with its token', async () => {
    const lines: string[] = [];
    const logger = createLogger({ level: 'debug', component: 'test' }, { write: (line) => void lines.push(line) });
    const clock = createManualClock();
    const server = createWireServer({
      listen: { host: '127.0.0.1', port: 0 },
      handlers: servingCore().handlers,
      operator: SAMPLE_OPERATOR,
      authenticate,
      logger,
      clock,
    });
    const { port } = await server.start();
    const knock = () =>
      statusOfCall(`127.0.0.1:${port}`, METHODS.watchModel, [...WHO, ['interlock-token', 'super-secret-guess']]);
    const told = () => lines.filter((line) => line.includes('call refused at the door'));

    await knock();
    await knock();
    await knock();
    expect(told().map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { peer: '127.0.0.1', call: METHODS.watchModel.path, reason: 'unauthenticated', refused: 1, total: 1 },
    ]);

    await clock.advance(60_000);
    await knock();
    expect(told().map((line) => JSON.parse(line) as unknown)).toMatchObject([{ total: 1 }, { refused: 3, total: 4 }]);
    expect(lines.join('')).not.toContain('super-secret-guess');
    const stopped = server.stop(0);
    await clock.advance(0);
    await stopped;
  });

  it('with headers of a megabyte is cut off, and the server serves on', async () => {
    const { port } = await bench.serve(servingCore().handlers, 0, authenticate);
    const huge: Entries = [...WHO, ['interlock-token', 'r'.repeat(1024 * 1024)]];

    expect(await statusOfCall(`127.0.0.1:${port}`, METHODS.watchModel, huge)).not.toBe('OK');
    expect(await statusOfCall(`127.0.0.1:${port}`, METHODS.watchModel, [...WHO, ['interlock-token', RIGHT]])).toBe(
      'OK',
    );
  });
});

describe('a door that cannot say yet', () => {
  it('answers UNAVAILABLE, so that callers come back', async () => {
    const { port } = await bench.serve(createFakeCore().handlers, 0, () => {
      throw new OperationalError('WIRE.UNREACHABLE', 'not yet');
    });

    expect(await statusOfCall(`127.0.0.1:${port}`, METHODS.watchModel, WHO)).toBe('UNAVAILABLE');
  });
});

describe("the operators' socket", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'interlock-operator-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function serve(socket: string) {
    const server = createWireServer({
      listen: { host: '127.0.0.1', port: 0 },
      handlers: servingCore().handlers,
      operator: SAMPLE_OPERATOR,
      authenticate,
      operatorSocket: socket,
      logger: silent,
    });
    return { server, port: (await server.start()).port };
  }

  it('lets operators in without a token, and nobody else; and over TCP no operator', async () => {
    const socket = path.join(folder, 'run', 'operator.sock');
    const { server, port } = await serve(socket);
    const operator: Entries = [['interlock-role', 'operator']];

    const client = createWireClient({ endpoint: `unix:${socket}`, identity: { role: 'operator', version: '1' } });
    expect(await client.operator.status({}, forever)).toEqual(SAMPLE_STATUS);
    client.close();
    const extension: Entries = [...WHO, ['interlock-token', RIGHT]];
    expect(await statusOfCall(`unix:${socket}`, METHODS.watchModel, extension)).toBe('UNAUTHENTICATED');
    expect(await statusOfCall(`127.0.0.1:${port}`, OPERATOR.status.method, operator)).toBe('UNAUTHENTICATED');
    await server.stop(0);
  });

  it('closes a folder of its own that was open, and is not made in one that others share', async () => {
    const [own, shared] = [path.join(folder, 'own'), path.join(folder, 'shared')];
    for (const each of [own, shared]) {
      await mkdir(each);
      await chmod(each, 0o1777);
    }
    await writeFile(path.join(shared, 'something'), '');
    for (const each of [own, shared]) {
      const { server } = await serve(path.join(each, 'operator.sock'));
      const entries = await readdir(each);
      const { mode } = await stat(each);
      expect([entries, mode & 0o777]).toEqual(each === own ? [['operator.sock'], 0o700] : [['something'], 0o777]);
      await server.stop(0);
    }
  });

  it('is open to its owner alone, takes the place of one that was left behind, and goes with the server', async () => {
    const socket = path.join(folder, 'run', 'operator.sock');
    const first = await serve(socket);
    expect((await stat(socket)).mode & 0o777).toBe(0o600);
    expect((await stat(path.dirname(socket))).mode & 0o777).toBe(0o700);
    await first.server.stop(0);
    await expect(stat(socket)).rejects.toMatchObject({ code: 'ENOENT' });

    await writeFile(socket, 'left behind');
    const second = await serve(socket);
    expect((await stat(socket)).isSocket()).toBe(true);
    await second.server.stop(0);
  });

  it('that cannot be made does not keep core from serving', async () => {
    await writeFile(path.join(folder, 'file'), '');
    const { server, port } = await serve(path.join(folder, 'file', 'operator.sock'));

    expect(await statusOfCall(`127.0.0.1:${port}`, METHODS.watchModel, [...WHO, ['interlock-token', RIGHT]])).toBe(
      'OK',
    );
    await server.stop(0);
  });
});

describe('a client', () => {
  it('asks for its token anew at each call, until there is one', async () => {
    const { port } = await bench.serve(servingCore().handlers, 0, authenticate);
    const tokens = [undefined, RIGHT];
    const client = createWireClient({
      endpoint: `127.0.0.1:${port}`,
      identity: { role: 'extension', extension: 'default', version: '1' },
      token: () => Promise.resolve(tokens.shift()),
    });

    const submission = submissionOf(revisionOf(sampleModel('a'), 1), 'events {}', true);
    await expect(client.submitArtifact(submission, forever)).rejects.toMatchObject({ code: 'WIRE.REFUSED' });
    await expect(client.submitArtifact(submission, forever)).resolves.toEqual({ kind: 'accepted' });
    client.close();
    await appears(() => tokens.length === 0);
  });
});
