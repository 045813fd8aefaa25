/**
 * One HTTP exchange with the Engine over dockerode's modem: API version negotiated, every call with a deadline, every failure with a code.
 *
 * All exchanges are opened as streams and read here. The modem's own buffering never calls back when the connection breaks inside a body
 * (docker-modem 5.0.7), and it drops the Engine's words for statuses that a method does not list.
 */
import type { IncomingMessage } from 'node:http';
import { addAbortSignal } from 'node:stream';
import type Docker from 'dockerode';
import { abortReason, type Clock } from '../../runtime/clock.ts';
import { isOperational, OperationalError, toError } from '../../runtime/errors.ts';
import { parseEngineVersion, parseRefusal } from '../../snapshot/engine-objects.ts';
import { ENGINE_CALLS, type EngineCall } from './engine-calls.ts';
import { type Asked, brokenAnswer, readAnswer, refusal, unreachable } from './engine-errors.ts';
import { createItemSplitter } from './json-items.ts';

/** The newest API we were tested against; an engine that offers more is asked for this one. */
const NEWEST_KNOWN_API = '1.51';
/** Docker 20.10. */
const OLDEST_KNOWN_API = '1.41';

/** One of the calls of `engine-calls.ts`, filled in by `requestOf`. */
export interface Request extends Asked {
  readonly call: EngineCall;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** `id`: for the calls that have one in their path. */
export function requestOf(
  call: EngineCall,
  parts: Pick<Request, 'query' | 'body'> & { readonly id?: string } = {},
): Request {
  const { id, ...rest } = parts;
  const path = id === undefined ? call.path : call.path.replace('{id}', () => encodeURIComponent(id));
  return { call, method: call.method, path, ...rest };
}

export interface EngineHttp {
  /** The parsed JSON of a 2xx answer, `undefined` for an empty one. */
  call(request: Request, signal: AbortSignal): Promise<unknown>;
  /** The items of a 2xx answer that is an array, each read as it arrives. What `read` throws ends the call as it is. */
  items<Item>(request: Request, read: (item: Buffer) => Item, signal: AbortSignal): Promise<readonly Item[]>;
  /** The body of a 2xx answer as it comes. The deadline covers the headers only; `signal` destroys the stream. */
  open(request: Request, signal: AbortSignal): Promise<IncomingMessage>;
  /** The API version in use, e.g. `1.51`; asks the engine when none is known. */
  apiVersion(signal: AbortSignal): Promise<string>;
}

export function createEngineHttp(
  modem: Docker['modem'],
  { clock, callTimeoutMs }: { readonly clock: Clock; readonly callTimeoutMs: number },
): EngineHttp {
  // Forgotten whenever the engine may have been exchanged: after a broken connection, and when it refuses the version.
  const negotiated: { version: string | undefined } = { version: undefined };

  async function apiVersion(signal: AbortSignal): Promise<string> {
    negotiated.version ??= await negotiate(signal);
    return negotiated.version;
  }

  async function negotiate(signal: AbortSignal): Promise<string> {
    const asked = requestOf(ENGINE_CALLS.version);
    const raw = await withDeadline(asked, signal, (limited) =>
      exchange(asked, '', limited).then((answer) => readJson(asked, answer)),
    );
    return chooseVersion(readAnswer(asked, parseEngineVersion, raw));
  }

  async function versioned<Answer>(
    request: Request,
    signal: AbortSignal,
    read: (answer: IncomingMessage) => Promise<Answer>,
  ) {
    const attempt = async () => {
      const prefix = `/v${await apiVersion(signal)}`;
      return withDeadline(request, signal, async (limited) => read(await exchange(request, prefix, limited)));
    };
    try {
      return await attempt();
    } catch (error) {
      if (isVersionRefusal(error)) {
        negotiated.version = undefined;
        return attempt();
      }
      if (isOperational(error, 'ENGINE.UNREACHABLE')) {
        negotiated.version = undefined;
      }
      throw error;
    }
  }

  /** Sends; resolves with a 2xx answer whose body is unread, throws a refusal otherwise. */
  async function exchange(request: Request, prefix: string, signal: AbortSignal): Promise<IncomingMessage> {
    const answer = addAbortSignal(signal, await dial(modem, request, prefix, signal));
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) {
      return answer;
    }
    throw refusal(request, status, wordsOf(await readText(answer)));
  }

  async function withDeadline<Answer>(
    asked: Asked,
    signal: AbortSignal,
    run: (signal: AbortSignal) => Promise<Answer>,
  ) {
    signal.throwIfAborted();
    const done = new AbortController();
    const late = new AbortController();
    clock.sleep(callTimeoutMs, done.signal).then(
      () => late.abort(unreachable(asked, `no answer within ${callTimeoutMs} ms`)),
      () => undefined, // answered in time
    );
    try {
      return await run(AbortSignal.any([signal, late.signal]));
    } catch (error) {
      throw failure(asked, error, signal, late.signal);
    } finally {
      done.abort();
    }
  }

  return {
    apiVersion,
    call: (request, signal) => versioned(request, signal, (answer) => readJson(request, answer)),
    items: (request, read, signal) => versioned(request, signal, (answer) => readItems(request, answer, read)),
    // The deadline is called off when the headers are here; from then on only the caller's signal ends the stream.
    open: (request, signal) => versioned(request, signal, (answer) => Promise.resolve(answer)),
  };
}

/** min(ours, the engine's). @throws OperationalError ENGINE.REFUSED when the two have no version in common. */
export function chooseVersion(engine: { readonly newest: string; readonly oldest: string }): string {
  const chosen = compareVersions(engine.newest, NEWEST_KNOWN_API) < 0 ? engine.newest : NEWEST_KNOWN_API;
  if (compareVersions(chosen, OLDEST_KNOWN_API) < 0 || compareVersions(chosen, engine.oldest) < 0) {
    throw new OperationalError(
      'ENGINE.REFUSED',
      `the engine speaks API ${engine.oldest} to ${engine.newest}, this program ${OLDEST_KNOWN_API} to ${NEWEST_KNOWN_API}`,
    );
  }
  return chosen;
}

function compareVersions(left: string, right: string): number {
  const [leftMajor = 0, leftMinor = 0] = left.split('.').map(Number);
  const [rightMajor = 0, rightMinor = 0] = right.split('.').map(Number);
  return leftMajor - rightMajor || leftMinor - rightMinor;
}

/** An engine that was exchanged under us: "client version 1.51 is too new. Maximum supported API version is 1.41". */
function isVersionRefusal(error: unknown): boolean {
  return isOperational(error, 'ENGINE.REFUSED') && /client version \S+ is too (?:new|old)/.test(error.message);
}

/** What ended an exchange: the caller, the deadline, a refusal that has its code already, or the connection. */
function failure(asked: Asked, error: unknown, caller: AbortSignal, late: AbortSignal): Error {
  if (caller.aborted) {
    return abortReason(caller);
  }
  if (late.aborted) {
    return abortReason(late);
  }
  return isOperational(error) ? error : unreachable(asked, error);
}

/** Every status comes back as an answer; judging it is ours. */
const ALL_STATUSES: Record<number, true> = Object.fromEntries(
  Array.from({ length: 500 }, (_, index) => [100 + index, true as const]),
);

function dial(modem: Docker['modem'], request: Request, prefix: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    modem.dial(
      {
        // The modem cuts the last character of a path with "?" that has no options.
        path: `${prefix}${request.path}${request.query === undefined ? '' : '?'}`,
        method: request.method,
        options: { _query: request.query ?? {}, _body: request.body ?? {} },
        isStream: true,
        statusCodes: ALL_STATUSES,
        abortSignal: signal,
      },
      (error: unknown, answer: unknown) => {
        if (error != null) {
          reject(toError(error));
        } else {
          resolve(answer as IncomingMessage); // isStream: the modem hands out the response itself
        }
      },
    );
  });
}

async function readJson(asked: Asked, answer: IncomingMessage): Promise<unknown> {
  const text = await readText(answer);
  if (text === '') {
    return undefined;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw brokenAnswer(asked, toError(error));
  }
}

async function readItems<Item>(
  asked: Asked,
  answer: IncomingMessage,
  read: (item: Buffer) => Item,
): Promise<readonly Item[]> {
  const splitter = createItemSplitter();
  const items: Item[] = [];
  for await (const chunk of answer) {
    for (const item of orBroken(asked, () => splitter.take(chunk as Buffer))) {
      items.push(read(item));
    }
  }
  orBroken(asked, () => splitter.end());
  return items;
}

function orBroken<Value>(asked: Asked, split: () => Value): Value {
  try {
    return split();
  } catch (error) {
    throw brokenAnswer(asked, toError(error));
  }
}

async function readText(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) {
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** `{"message": …}`, or plain text: the version check of older engines answers that. */
function wordsOf(body: string): string {
  try {
    return parseRefusal(JSON.parse(body) as unknown);
  } catch {
    return body; // not the documented shape, so the body itself is all there is to tell
  }
}
