/**
 * An in-memory Swarm behind the Engine's real HTTP API, on a unix socket or a loopback port, so that dockerode runs too.
 * `test/contract/engine.test.ts` holds it to what a real dockerd does. What it does not model answers 501.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createEventStreams, type EventStreams } from './event-streams.ts';
import { createFakeSwarm, type FakeSwarm, type NewNode } from './fake-swarm.ts';
import { type CallPattern, createFaults, type Fault, type FaultAction, type FaultRule, matches } from './faults.ts';
import { Refusal } from './raw.ts';
import { type Answer, type Call, createRoutes, type Routes } from './routes.ts';
import { type FakeTime, realTime } from './time.ts';

export interface FakeEngineOptions {
  /** Default `unix`: a socket in a fresh temporary folder. */
  readonly listen?: 'unix' | 'tcp';
  readonly apiVersion?: string;
  readonly minApiVersion?: string;
  readonly engineVersion?: string;
  /** The Swarm's certificate authority; default: not told, so there is no watch. */
  readonly trustRoot?: string;
  /** Nodes at the start; default one manager `m1`. */
  readonly nodes?: readonly NewNode[];
  /** One step of a task's life in ms; default 2. */
  readonly stepMs?: number;
  /** From the order to stop until a task's end in ms; default 20 (a real overlay: 3,000). */
  readonly stopMs?: number;
  /** Durations of a spec (restart delay, monitor, update delay) pass this many times faster; default 100. */
  readonly speed?: number;
  readonly time?: FakeTime;
}

export interface CallRecord {
  /** e.g. `POST /services/abc/update`. */
  readonly asked: string;
  readonly query: string;
  /** 0 when the connection was broken on purpose. */
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface FakeEngine {
  readonly dockerUrl: string;
  /** The Swarm itself, for arranging and looking without HTTP. */
  readonly swarm: FakeSwarm;
  readonly calls: readonly CallRecord[];
  count(match: CallPattern): number;
  forgetCalls(): void;
  fault(rule: FaultRule): Fault;
  eventStreams(): number;
  /** Breaks all open event streams; what happens until the next one opens is lost to their readers. */
  cutEvents(): void;
  /** Another engine version answers from now on, as after an upgrade; open connections break. */
  upgrade(to: { readonly apiVersion: string; readonly engineVersion: string }): void;
  /** `false`: every connection breaks and new ones are reset, until `true`. The Swarm lives on. */
  setReachable(reachable: boolean): void;
  close(): Promise<void>;
}

export async function createFakeEngine(options: FakeEngineOptions = {}): Promise<FakeEngine> {
  const swarm = createFakeSwarm(options);
  const engine = {
    apiVersion: options.apiVersion ?? '1.51',
    engineVersion: options.engineVersion ?? '28.5.2',
    trustRoot: options.trustRoot,
    reachable: true,
  };
  const facts = () => ({ ...engine, minApiVersion: options.minApiVersion ?? '1.24', isManager: swarm.isManager() });
  const routes = createRoutes(swarm.store, swarm.api, facts);
  const streams = createEventStreams(swarm.store);
  const faults = createFaults();
  const calls: CallRecord[] = [];
  const sockets = new Set<Socket>();
  const exchange = createExchange({
    routes,
    streams,
    take: faults.take,
    time: options.time ?? realTime,
    record: (call) => calls.push(call),
  });

  const server = http.createServer((request, response) => void exchange(request, response, facts().apiVersion));
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    if (!engine.reachable) {
      socket.destroy();
    }
  });
  const address = await listen(server, options.listen ?? 'unix');
  const breakConnections = () => {
    for (const socket of sockets) {
      socket.destroy();
    }
  };

  return {
    dockerUrl: address.dockerUrl,
    swarm,
    calls,
    count: (match) => calls.filter((call) => matches(match, call.asked)).length,
    forgetCalls: () => void calls.splice(0),
    fault: faults.add,
    eventStreams: streams.open,
    cutEvents: streams.cut,
    upgrade(to) {
      Object.assign(engine, to);
      breakConnections();
    },
    setReachable(reachable) {
      engine.reachable = reachable;
      if (!reachable) {
        breakConnections();
      }
    },
    async close() {
      swarm.stopTime();
      breakConnections();
      await new Promise((resolve) => server.close(resolve));
      await address.remove();
    },
  };
}

async function listen(
  server: http.Server,
  on: 'unix' | 'tcp',
): Promise<{ dockerUrl: string; remove: () => Promise<void> }> {
  if (on === 'tcp') {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo; // a TCP server has no other kind of address
    return { dockerUrl: `tcp://127.0.0.1:${port}`, remove: () => Promise.resolve() };
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'fake-engine-'));
  const socket = path.join(folder, 'docker.sock');
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return { dockerUrl: `unix://${socket}`, remove: () => rm(folder, { recursive: true, force: true }) };
}

interface ExchangeParts {
  readonly routes: Routes;
  readonly streams: EventStreams;
  readonly take: (asked: string) => FaultAction | undefined;
  readonly time: FakeTime;
  readonly record: (call: CallRecord) => void;
}

/** One request: read it, let faults have their say, answer it, write it down. */
function createExchange({ routes, streams, take, time, record }: ExchangeParts) {
  const lastAnswers = new Map<string, Answer>();

  return async (request: http.IncomingMessage, response: http.ServerResponse, apiVersion: string): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://engine');
    const [, version, plainPath = '/'] = /^(?:\/v(\d+\.\d+))?(\/.*)$/.exec(url.pathname) ?? [];
    const body = await readBody(request);
    const asked = `${request.method ?? 'GET'} ${plainPath}`;
    const call: Call = { method: request.method ?? 'GET', path: plainPath, query: url.searchParams, body: undefined };
    const fault = take(asked);
    if (fault?.kind === 'delay') {
      await new Promise<void>((resolve) => void time.after(fault.ms, resolve));
    }
    const log = (status: number, bytesOut: number) =>
      record({ asked, query: url.search, status, bytesIn: body.length, bytesOut });
    if (asked === 'GET /events' && fault?.kind !== 'status' && fault?.kind !== 'hangup') {
      log(200, 0);
      streams.serve(response, url.searchParams.get('filters'), apiVersion);
      return;
    }
    const key = `${asked}${url.search}`;
    const answer = attempt(() => {
      checkApiVersion(version, apiVersion);
      return answered(fault, call.method, lastAnswers.get(key), () =>
        routes.answer({ ...call, body: parseBody(body) }),
      );
    });
    if (call.method === 'GET' && answer?.status === 200) {
      lastAnswers.set(key, { status: 200, body: structuredClone(answer.body) });
    }
    send(response, answer, fault, apiVersion, log);
  };
}

/** `undefined`: the connection breaks without an answer. */
function answered(
  fault: FaultAction | undefined,
  method: string,
  last: Answer | undefined,
  act: () => Answer,
): Answer | undefined {
  switch (fault?.kind) {
    case 'status':
      throw new Refusal(fault.status, fault.message);
    case 'body':
      return { status: 200, body: fault.text };
    case 'hangup':
      return fault.when === 'before' ? undefined : act();
    case 'stale':
      return staleAnswer(method, last, act);
    case 'delay':
    case undefined:
      return act();
  }
}

function staleAnswer(method: string, last: Answer | undefined, act: () => Answer): Answer {
  if (method !== 'GET') {
    throw new Refusal(500, 'rpc error: code = Unknown desc = update out of sequence');
  }
  return last ?? act();
}

function attempt(act: () => Answer | undefined): Answer | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof Refusal) {
      return { status: error.status, body: { message: error.message } };
    }
    return { status: 500, body: { message: `the fake engine has a bug: ${String(error)}` } };
  }
}

function send(
  response: http.ServerResponse,
  answer: Answer | undefined,
  fault: FaultAction | undefined,
  apiVersion: string,
  log: (status: number, bytesOut: number) => void,
): void {
  const text =
    answer?.body === undefined
      ? ''
      : typeof answer.body === 'string'
        ? answer.body
        : `${JSON.stringify(answer.body)}\n`;
  if (answer === undefined || (fault?.kind === 'hangup' && fault.when === 'after')) {
    log(0, 0);
    response.destroy();
    return;
  }
  log(answer.status, Buffer.byteLength(text));
  response.writeHead(answer.status, {
    'Api-Version': apiVersion,
    'Content-Type': 'application/json',
    ...(answer.status === 204 ? {} : { 'Content-Length': Buffer.byteLength(text) }),
  });
  if (fault?.kind === 'hangup') {
    response.write(text.slice(0, text.length / 2), () => response.destroy());
    return;
  }
  response.end(text);
}

function checkApiVersion(asked: string | undefined, newest: string): void {
  const minor = (version: string) => Number(version.split('.')[1]);
  if (asked !== undefined && minor(asked) > minor(newest)) {
    throw new Refusal(400, `client version ${asked} is too new. Maximum supported API version is ${newest}`);
  }
}

async function readBody(request: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function parseBody(body: Buffer): unknown {
  if (body.length === 0) {
    return {};
  }
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch (error) {
    throw new Refusal(400, `invalid JSON: ${String(error)}`);
  }
}
