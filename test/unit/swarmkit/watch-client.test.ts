import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Change } from '../../../src/swarmkit/changes.ts';
import { encodeWatchRequest } from '../../../src/swarmkit/messages.ts';
import { watchSwarm, whyLost } from '../../../src/swarmkit/watch-client.ts';
import { type ControlSocket, openControlSocket } from '../../fakes/control-socket.ts';
import { eventually } from '../../support/eventually.ts';

let socket: ControlSocket;
let stop: AbortController;
const heard: Change[] = [];
const ready = { times: 0 };

beforeEach(async () => {
  socket = await openControlSocket();
  stop = new AbortController();
  heard.length = 0;
  ready.times = 0;
});

afterEach(async () => {
  stop.abort();
  await socket.close();
});

/** Resolves with what ended the stream. */
function watch(options: { socketPath?: string; trustRoot?: string; resumeFrom?: number } = {}): Promise<unknown> {
  const { socketPath = socket.socketPath, trustRoot = socket.trustRoot, resumeFrom } = options;
  return watchSwarm(
    { socketPath, trustRoot: () => Promise.resolve(trustRoot), resumeFrom: () => resumeFrom },
    {
      onReady: () => {
        ready.times += 1;
      },
      onChanges: (changes) => heard.push(...changes),
    },
    stop.signal,
  ).catch((error: unknown) => error);
}

const task = {
  id: 'task1',
  meta: { version: { index: 7 }, createdAt: { seconds: 1, nanos: 5 }, updatedAt: null },
  spec: null,
  serviceId: 'svc1',
  nodeId: '',
  status: { state: 'RUNNING', portStatus: null },
  desiredState: 'SHUTDOWN',
  networks: [{ network: { id: 'net1' }, addresses: ['10.0.1.3/24'] }],
} as const;
const event = { action: 'WATCH_ACTION_UPDATE', object: { task } };

describe('the watch over the control socket', () => {
  it('asks for services, tasks, nodes and networks, and for nothing else', async () => {
    const ended = watch();
    await eventually(() => expect(ready.times).toBe(1));
    stop.abort();
    await ended;
    // Field 1 (an entry), its length; in it field 1 (kind) and field 2 (action 7: create, update, remove). No field 2 or 3: no resume, no old objects.
    const entry = (kind: string): string =>
      `\n${String.fromCharCode(kind.length + 4)}\n${String.fromCharCode(kind.length)}${kind}\x10\x07`;
    const expected = ['service', 'task', 'node', 'network'].map(entry).join('');
    expect(socket.requests.map((bytes) => bytes.toString('latin1'))).toEqual([expected]);
  });

  it('never names a secret, a config or the cluster, resuming or not', () => {
    for (const bytes of [encodeWatchRequest(), encodeWatchRequest(123_456)]) {
      expect(bytes.toString('latin1')).not.toMatch(/secret|config|cluster|volume|resource|extension/i);
    }
  });

  it('reads a task, and goes on from a version', async () => {
    const ended = watch({ resumeFrom: 300 });
    await eventually(() => expect(ready.times).toBe(1));
    socket.send({ events: [event] });
    await eventually(() => expect(heard).toHaveLength(1));
    expect(heard[0]).toEqual({
      kind: 'task',
      action: 'upsert',
      id: 'task1',
      version: 7,
      part: {
        id: 'task1',
        serviceId: 'svc1',
        nodeId: undefined,
        version: 7,
        state: 'running',
        desiredState: 'shutdown',
        attachments: [{ networkId: 'net1', addresses: ['10.0.1.3'] }],
        hostPorts: [],
        createdAt: '1970-01-01T00:00:01.000000005Z',
        updatedAt: '1970-01-01T00:00:00.000000000Z',
      },
    });
    expect(socket.requests[0]?.subarray(-5)).toEqual(Buffer.from([0x12, 0x03, 0x08, 0xac, 0x02]));
    stop.abort();
    await ended;
  });

  it('leaves out what the lists leave out: tasks and services without a container, networks of every node', async () => {
    const ended = watch();
    await eventually(() => expect(ready.times).toBe(1));
    const meta = { version: { index: 8 }, createdAt: null, updatedAt: null };
    const spec = { runtime: 'attachment', attachment: {}, networks: [] } as const;
    const annotations = { name: 'bridge', labels: { 'com.docker.swarm.predefined': 'true' } };
    const bridge = { id: 'net2', meta, spec: { annotations, ingress: false }, driverState: null };
    socket.send({
      events: [
        { action: 'WATCH_ACTION_CREATE', object: { task: { ...task, spec } } },
        { action: 'WATCH_ACTION_CREATE', object: { network: bridge } },
        event,
      ],
    });
    await eventually(() => expect(heard).toHaveLength(1));
    expect(heard[0]?.id).toBe('task1');
    stop.abort();
    await ended;
  });

  it('takes messages beyond the 4 MiB that the library would stop at', async () => {
    const ended = watch();
    await eventually(() => expect(ready.times).toBe(1));
    const long = { ...task, networks: [{ network: { id: 'n'.repeat(5 * 1024 * 1024) }, addresses: [] }] };
    socket.send({ events: [{ action: 'WATCH_ACTION_UPDATE', object: { task: long } }] });
    await eventually(() => expect(heard).toHaveLength(1));
    stop.abort();
    await ended;
  });

  it.each([
    ['a directory that is not mounted', 'not-mounted', () => ({ socketPath: '/nowhere/swarm/control.sock' })],
    ['no socket', 'no-socket', () => ({ socketPath: `${socket.socketPath}.other` })],
    [
      'a trust root that is none',
      'untrusted',
      () => ({ trustRoot: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' }),
    ],
  ])('says why it cannot begin: %s', async (_, why, options) => {
    expect(whyLost(await watch(options()))).toBe(why);
    expect(ready.times).toBe(0);
  });

  it('trusts nobody whose certificate another authority has signed, or that names no manager', async () => {
    const other = await openControlSocket();
    expect(whyLost(await watch({ trustRoot: other.trustRoot }))).toBe('untrusted');
    await other.close();
    const worker = await openControlSocket('DNS:swarm-worker');
    expect(whyLost(await watch({ socketPath: worker.socketPath, trustRoot: worker.trustRoot }))).toBe('untrusted');
    await worker.close();
    expect(ready.times).toBe(0);
  });

  it.each([
    [2, 'context canceled', 'ended'],
    [2, 'versions are out of order', 'other-history'],
    [2, 'requested index is unavailable due to compaction', 'cannot-resume'],
    [0, 'a stream that ends without an error', 'ended'],
  ])('says why it ended: %i %s', async (code, words, why) => {
    const ended = watch();
    await eventually(() => expect(ready.times).toBe(1));
    socket.end(code, words);
    expect(whyLost(await ended)).toBe(why);
  });

  it.each([
    ['bytes that are no message', Buffer.from([0x0a, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3])],
    ['an event without an object', Buffer.from([0x0a, 0x02, 0x08, 0x02])],
    // event { action: 2, object { task { id: "x" } } }
    ['an object without a version', Buffer.from([0x0a, 0x09, 0x08, 0x02, 0x12, 0x05, 0x22, 0x03, 0x0a, 0x01, 0x78])],
  ])('stops at %s', async (_, bytes) => {
    const ended = watch();
    await eventually(() => expect(ready.times).toBe(1));
    socket.sendBytes(bytes);
    expect(whyLost(await ended)).toBe('broken');
    expect(heard).toEqual([]);
  });

  it('ends with the connection, and when told to', async () => {
    const cut = watch();
    await eventually(() => expect(ready.times).toBe(1));
    await socket.close();
    expect(whyLost(await cut)).toBe('ended');
    socket = await openControlSocket();
    const told = watch();
    await eventually(() => expect(ready.times).toBe(2));
    const reason = new Error('enough');
    stop.abort(reason);
    expect(await told).toBe(reason);
  });
});
