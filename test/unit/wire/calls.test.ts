import { once, setMaxListeners } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OperationalError } from '../../../src/runtime/errors.ts';
import { createWireClient } from '../../../src/wire/client.ts';
import type { ModelMessage } from '../../../src/wire/contract.ts';
import { refusal, refusalReason } from '../../../src/wire/errors.ts';
import { MAX_WATCHERS_PER_EXTENSION } from '../../../src/wire/limits.ts';
import { METHODS } from '../../../src/wire/methods.ts';
import { decodeModelMessage } from '../../../src/wire/model-codec.ts';
import { OPERATOR, OPERATOR_CALL_NAMES } from '../../../src/wire/operator.ts';
import type { BytesMethod } from '../../../src/wire/proto.ts';
import {
  appears,
  createFakeCore,
  createWireBench,
  full,
  next,
  revisionOf,
  SAMPLE_STATUS,
  sampleModel,
  submissionOf,
  type WireBench,
} from '../../support/wire.ts';

const forever = new AbortController().signal;
setMaxListeners(0, forever);
const revision = revisionOf(sampleModel('a'), 1);
const GOOD = { 'interlock-role': 'extension', 'interlock-extension': 'default' };

let bench: WireBench;
beforeEach(() => {
  bench = createWireBench();
});
afterEach(() => bench.close());

/** A caller that sends whatever bytes and metadata it likes. */
function rawCall(port: number, method: BytesMethod, bytes: Buffer, entries: Record<string, string>): Promise<Buffer> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_send_message_length': -1,
  });
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(entries)) {
    metadata.set(key, value);
  }
  return new Promise<Buffer>((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = method;
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, bytes, metadata, (error, reply) => {
      if (error) {
        reject(error);
      } else {
        resolve(reply ?? Buffer.alloc(0));
      }
    });
  }).finally(() => client.close());
}

async function statusOfCall(call: Promise<unknown>): Promise<string | undefined> {
  return call.then(
    () => 'OK',
    (error: unknown) => status[(error as ServiceError).code],
  );
}

describe('a caller', () => {
  it.each([
    ['no metadata', {}],
    ['an unknown role', { 'interlock-role': 'root', 'interlock-extension': 'default' }],
    ['no extension', { 'interlock-role': 'proxy' }],
  ])('with %s is UNAUTHENTICATED, on every call', async (_what, metadata) => {
    const { port } = await bench.serve(createFakeCore().handlers);
    for (const method of [METHODS.submitArtifact, METHODS.refuseRevision, OPERATOR.status.method]) {
      expect(await statusOfCall(rawCall(port, method, Buffer.alloc(0), metadata))).toBe('UNAUTHENTICATED');
    }
  });

  it('is handed to the handlers as it said who it is', async () => {
    const core = createFakeCore();
    core.messages.set(full(sampleModel('a'), 1));
    const { port } = await bench.serve(core.handlers);
    await next(bench.connect(port, 'extension').watchModel(revision, forever)[Symbol.asyncIterator]());
    expect(core.watchers).toMatchObject([
      { caller: { role: 'extension', extension: 'default', token: undefined, version: '0.1.0' }, have: revision },
    ]);
  });

  it('that sends bytes which are no message learns INVALID_ARGUMENT, and the server serves on', async () => {
    const { port } = await bench.serve(createFakeCore().handlers);
    expect(await statusOfCall(rawCall(port, METHODS.submitArtifact, Buffer.from('\xff\xff\xff', 'latin1'), GOOD))).toBe(
      'INVALID_ARGUMENT',
    );
    await expect(bench.connect(port, 'operator').operator.status({}, forever)).resolves.toEqual(SAMPLE_STATUS);
  });

  it('that sends more than 16 MiB learns RESOURCE_EXHAUSTED, and the server serves on', async () => {
    const { port } = await bench.serve(createFakeCore().handlers);
    expect(await statusOfCall(rawCall(port, METHODS.submitArtifact, Buffer.alloc(17 * 1024 * 1024), GOOD))).toBe(
      'RESOURCE_EXHAUSTED',
    );
    await expect(bench.connect(port, 'operator').operator.status({}, forever)).resolves.toEqual(SAMPLE_STATUS);
  });

  it('of ours never sends more than 16 MiB', async () => {
    const { port } = await bench.serve(createFakeCore().handlers);
    const huge = submissionOf(revision, 'x'.repeat(17 * 1024 * 1024), true);
    const error = await bench
      .connect(port)
      .submitArtifact(huge, forever)
      .catch((reason: unknown) => reason);
    expect(refusalReason(error)).toBe('exhausted');
  });

  it('that resets its stream half way ends its own handler only', async () => {
    const core = createFakeCore();
    core.messages.set(full(sampleModel('a', 2000), 1));
    const { port } = await bench.serve(core.handlers);
    const good = bench.connect(port).watchModel(undefined, forever)[Symbol.asyncIterator]();
    await next(good);

    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const request = session.request({
      ':method': 'POST',
      ':path': METHODS.watchModel.path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...GOOD,
    });
    request.on('error', () => undefined);
    request.write(Buffer.from([0, 0, 0, 0, 0]));
    request.end();
    const rude = await appears(() => core.watchers[1]);
    request.close(8);
    await appears(() => rude.signal.aborted);
    session.on('error', () => undefined);
    session.destroy();

    core.messages.set(full(sampleModel('b'), 2));
    expect((await next(good)).revision.sequence).toBe(2);
  });

  it('that speaks no HTTP/2 at all harms nobody', async () => {
    const { port } = await bench.serve(createFakeCore().handlers);
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    socket.write('GET / HTTP/1.1\r\n\r\n');
    socket.write(Buffer.alloc(4096, 0xff));
    await once(socket, 'close');
    await expect(bench.connect(port, 'operator').operator.status({}, forever)).resolves.toEqual(SAMPLE_STATUS);
  });

  it('learns UNIMPLEMENTED for a service that this version does not serve', async () => {
    const { port } = await bench.serve(createFakeCore().handlers);
    const method = { ...OPERATOR.status.method, path: '/interlock.v1.Agents/Recall' };
    expect(await statusOfCall(rawCall(port, method, Buffer.alloc(0), GOOD))).toBe('UNIMPLEMENTED');
  });
});

describe('what people ask', () => {
  it.each(['extension', 'proxy'] as const)('is not for the role %s', async (role) => {
    const { port } = await bench.serve(createFakeCore().handlers);
    const client = bench.connect(port, role);
    for (const name of OPERATOR_CALL_NAMES) {
      const ask = client.operator[name] as (request: object, signal: AbortSignal) => Promise<unknown>;
      const error = await ask({}, forever).catch((cause: unknown) => cause);
      expect(refusalReason(error), name).toBe('permission-denied');
    }
  });
});

describe('what a handler throws', () => {
  it.each([
    [refusal('permission-denied', 'not yours'), 'WIRE.REFUSED', 'permission-denied'],
    [refusal('not-found', 'no such extension'), 'WIRE.REFUSED', 'not-found'],
    [new OperationalError('ENGINE.UNREACHABLE', 'no engine'), 'WIRE.UNREACHABLE', undefined],
    [new OperationalError('ENGINE.REFUSED', 'bad \ud800 value'), 'WIRE.REFUSED', 'precondition'],
    [new OperationalError('WIRE.MALFORMED', 'manifest'), 'WIRE.REFUSED', 'malformed'],
    [new TypeError('secret internals'), 'WIRE.UNREACHABLE', undefined],
  ])('%s reaches the caller as %s', async (thrown, code, reason) => {
    const { port } = await bench.serve(createFakeCore().handlers, 0, undefined, {
      status: () => Promise.reject(thrown),
    });
    const error = await bench
      .connect(port, 'operator')
      .operator.status({}, forever)
      .catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code });
    expect(refusalReason(error)).toBe(reason);
    expect(String(error)).not.toContain('secret internals');
  });

  it('in the middle of a stream ends that stream with the same words', async () => {
    const core = createFakeCore({
      async *watchModel() {
        yield full(sampleModel('a'), 1);
        await Promise.resolve();
        throw refusal('permission-denied', 'not yours any more');
      },
    });
    const { port } = await bench.serve(core.handlers);
    const stream = bench.connect(port).watchModel(undefined, forever)[Symbol.asyncIterator]();
    await next(stream);
    await expect(next(stream)).rejects.toMatchObject({ code: 'WIRE.REFUSED', message: 'not yours any more' });
  });
});

describe('a client', () => {
  it('says WIRE.UNREACHABLE when nobody listens', async () => {
    const { port, server } = await bench.serve(createFakeCore().handlers);
    await server.stop(0);
    await expect(bench.connect(port, 'operator').operator.status({}, forever)).rejects.toMatchObject({
      code: 'WIRE.UNREACHABLE',
    });
    const stream = bench.connect(port).watchModel(undefined, forever)[Symbol.asyncIterator]();
    await expect(next(stream)).rejects.toMatchObject({ code: 'WIRE.UNREACHABLE' });
  });

  it('throws the reason of its signal, before and during a call, and the handler learns of it', async () => {
    let seen: AbortSignal | undefined;
    const { port } = await bench.serve(createFakeCore().handlers, 0, undefined, {
      status: (_request, signal) => {
        seen = signal;
        return untilAborted(signal);
      },
    });
    const client = bench.connect(port, 'operator');
    const abort = new AbortController();
    const call = client.operator.status({}, abort.signal);
    await appears(() => seen);
    abort.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
    await expect(client.operator.status({}, abort.signal)).rejects.toThrow('enough');
    await appears(() => seen?.aborted);
  });

  it('gives up on a unary call at its deadline', async () => {
    const { port } = await bench.serve(createFakeCore().handlers, 0, undefined, {
      status: (_request, signal) => untilAborted(signal),
    });
    const client = createWireClient({
      endpoint: `127.0.0.1:${port}`,
      identity: { role: 'operator', version: '' },
      unaryTimeoutMs: 100,
    });
    await expect(client.operator.status({}, forever)).rejects.toMatchObject({
      code: 'WIRE.UNREACHABLE',
      facts: { status: 'DEADLINE_EXCEEDED' },
    });
    client.close();
  });

  it('ignores an HTTP proxy in the environment', async () => {
    const { port } = await bench.serve(createFakeCore().handlers);
    const before = process.env['http_proxy'];
    process.env['http_proxy'] = 'http://127.0.0.1:1';
    try {
      await expect(bench.connect(port, 'operator').operator.status({}, forever)).resolves.toEqual(SAMPLE_STATUS);
    } finally {
      if (before === undefined) {
        delete process.env['http_proxy'];
      } else {
        process.env['http_proxy'] = before;
      }
    }
  });
});

describe('artifacts', () => {
  it('travel as a manifest first, then with the blobs that core lacks', async () => {
    const core = createFakeCore();
    const { port } = await bench.serve(core.handlers);
    const client = bench.connect(port);
    const bare = submissionOf(revision, 'events {}', false);
    expect(await client.submitArtifact(bare, forever)).toEqual({
      kind: 'missing',
      blobs: [bare.manifest.entries[0]?.blob],
    });
    expect(await client.submitArtifact(submissionOf(revision, 'events {}', true), forever)).toEqual({
      kind: 'accepted',
    });
    expect(core.submissions.map(({ blobs }) => blobs.length)).toEqual([0, 1]);
  });

  it('whose digest does not fit are refused at the door', async () => {
    const core = createFakeCore();
    const { port } = await bench.serve(core.handlers);
    const good = submissionOf(revision, 'events {}', true);
    const wrong = { ...good, manifest: { ...good.manifest, digest: revision.digest } };
    await expect(bench.connect(port).submitArtifact(wrong, forever)).rejects.toMatchObject({
      code: 'WIRE.REFUSED',
      message: /manifest\.digest/,
    });
    expect(core.submissions).toEqual([]);
  });
});

describe('the server', () => {
  it('holds as many idle streams as one extension may have and lets all of them go at stop', async () => {
    const core = createFakeCore();
    core.messages.set(full(sampleModel('a'), 1));
    const { port, server } = await bench.serve(core.handlers);
    const clients = Array.from({ length: 4 }, () => bench.connect(port));
    const streams = clients.flatMap((client) =>
      Array.from({ length: MAX_WATCHERS_PER_EXTENSION / 4 }, () =>
        client.watchModel(undefined, forever)[Symbol.asyncIterator](),
      ),
    );
    await Promise.all(streams.map((stream) => next(stream)));
    core.messages.set(full(sampleModel('b'), 2));
    const seconds = await Promise.all(streams.map((stream) => next(stream)));
    expect(seconds.every(({ revision: { sequence } }) => sequence === 2)).toBe(true);

    const ends = streams.map((stream) => next(stream).catch((error: unknown) => error));
    await server.stop(1000);
    expect(
      (await Promise.all(ends)).every(
        (error) => error instanceof OperationalError && error.code === 'WIRE.UNREACHABLE',
      ),
    ).toBe(true);
  });

  it('gives a slow reader the newest state, not a queue', async () => {
    const core = createFakeCore();
    const messages = Array.from({ length: 20 }, (_, sequence) => full(sampleModel(String(sequence), 1000), sequence));
    core.messages.set(messages[0] as ModelMessage);
    const { port } = await bench.serve(core.handlers);
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const request = session.request({
      ':method': 'POST',
      ':path': METHODS.watchModel.path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...GOOD,
    });
    request.pause();
    request.end(Buffer.from([0, 0, 0, 0, 0]));
    await appears(() => core.watchers[0]);
    for (const message of messages) {
      core.messages.set(message);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }

    const sequences = await readSequences(request, 19);
    session.destroy();
    expect(sequences.at(-1)).toBe(19);
    expect(sequences.length).toBeLessThan(5);
  });

  it('lets a unary call finish within the grace', async () => {
    let finish: (() => void) | undefined;
    const { port, server } = await bench.serve(createFakeCore().handlers, 0, undefined, {
      status: () =>
        new Promise((resolve) => {
          finish = () => resolve(SAMPLE_STATUS);
        }),
    });
    const call = bench.connect(port, 'operator').operator.status({}, forever);
    await appears(() => finish);
    const stopped = server.stop(5_000);
    finish?.();
    await expect(call).resolves.toEqual(SAMPLE_STATUS);
    await stopped;
  });

  it('says which address it cannot listen on', async () => {
    const { port } = await bench.serve(createFakeCore().handlers);
    await expect(bench.serve(createFakeCore().handlers, port)).rejects.toMatchObject({ code: 'WIRE.LISTEN_FAILED' });
  });

  it('answers the standard health check without metadata', async () => {
    const { port } = await bench.serve(createFakeCore().handlers);
    expect([...(await rawCall(port, METHODS.checkHealth, Buffer.alloc(0), {}))]).toEqual([8, 1]);
    const unknown = Buffer.concat([Buffer.from([10, 4]), Buffer.from('nope')]);
    expect(await statusOfCall(rawCall(port, METHODS.checkHealth, unknown, {}))).toBe('NOT_FOUND');
  });
});

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new OperationalError('WIRE.UNREACHABLE', 'gone')));
  });
}

/** Reads gRPC frames until the revision with sequence `last` has come. */
async function readSequences(stream: NodeJS.ReadableStream, last: number): Promise<number[]> {
  const sequences: number[] = [];
  let rest = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1);
      sequences.push(decodeModelMessage(rest.subarray(5, end)).revision.sequence);
      rest = rest.subarray(end);
    }
    if (sequences.at(-1) === last) {
      break;
    }
  }
  return sequences;
}
