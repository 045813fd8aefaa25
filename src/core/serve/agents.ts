/**
 * Core's end of the agents' sessions, per extension. Comes in: hello and reports. Goes out: directives, and on the board who is there,
 * what each serves and what is wrong. Reports inform people and pacing; they never edit the model.
 *
 *   hello --> open (an older session of the same task ends) --> directives of the newest artifact, newest only --> closed
 */
import type { ConfigArtifact, CutFile } from '../../model/artifact.ts';
import { manifestOf, piecesIn } from '../../model/artifact.ts';
import { compareText } from '../../model/cluster.ts';
import { createFinding, type Finding, findingKey } from '../../model/finding.ts';
import { createTrigger, type ReadableCell } from '../../runtime/cell.ts';
import { abortReason, type Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type {
  AgentDirective,
  AgentHello,
  AgentReport,
  AgentWord,
  BlobContent,
  SocketAddress,
} from '../../wire/contract.ts';
import { refusal } from '../../wire/errors.ts';
import type { SessionStatus } from '../../wire/status-report.ts';
import type { AgentSession, Board, ExtensionBoard, Rendered } from '../board.ts';
import { createPiecesAlong } from './pieces-along.ts';
import { createReloadBudget, type ReloadBudget } from './reload-budget.ts';

export interface AgentsDesk {
  /** Ends without an error when the agent ends its side; throws the signal's reason, or a refusal when a newer session takes over. */
  session(hello: AgentHello, words: AsyncIterable<AgentWord>, signal: AbortSignal): AsyncIterable<AgentDirective>;
  /** Throws a refusal (`not-found`) for one that none of the last artifacts has. */
  blobs(digests: readonly string[]): readonly BlobContent[];
  /** Sorted by task. */
  sessions(): readonly SessionStatus[];
  /** Takes back in time what proxies said that never came back. */
  readonly component: Component;
}

export interface AgentsDeskParts {
  readonly extension: ExtensionBoard;
  readonly board: Pick<Board, 'setFindings'>;
  /** Names this life of core. */
  readonly epoch: string;
  readonly clock: Pick<Clock, 'now' | 'monotonic' | 'sleep'>;
  /** Default: no limit. */
  readonly reloadsPerMinute?: number | undefined;
  /** Hears what proxies could not reach, of each session as often as an agent of ours says it. Default: nobody does. */
  readonly onUnreached?: ((addresses: readonly SocketAddress[]) => void) | undefined;
  readonly logger: Logger;
}

/** More proxies than a Swarm has nodes: somebody opens sessions for the sake of it. */
const MAX_SESSIONS = 2_000;
/** What was said last still counts this long after a session broke off: an agent that reconnects says it again. */
const REMEMBER_MS = 60_000;
/** Reports that come together change the board once. */
const GATHER_MS = 50;
/** Of one session. An agent has something to say for each file it is told, and core tells fewer. */
const MAX_REPORTS_PER_SECOND = 100;
/** Of one session; an agent of ours has one a second, and two may come close together. */
const MAX_UNREACHED_PER_SECOND = 2;
/** What the agents of one extension say is kept and printed for people. */
const MAX_FINDINGS = 1_000;
/** An agent may ask for the bytes of a directive that was the newest a moment ago. */
const RECENT_ARTIFACTS = 3;

interface OpenSession {
  readonly over: AbortController;
  seen: AgentSession;
}

/** What a task said, for a while longer than its session lasts. */
interface Said {
  readonly findings: readonly Finding[];
  readonly closedAtMs: number | undefined;
}

export function createAgentsDesk(parts: AgentsDeskParts): AgentsDesk {
  const { extension, board, epoch, clock, logger } = parts;
  const { settings } = extension;
  const open = new Map<string, OpenSession>();
  const said = new Map<string, Said>();
  const recent: ConfigArtifact[] = [];
  const pieces = createPiecesAlong();
  const parted = createTrigger();
  let heardAtMs = Number.NEGATIVE_INFINITY;
  let isHeld = false;
  extension.agents.set({ sessions: [] });

  function publish(): void {
    isHeld = false;
    extension.agents.set({ sessions: [...open.values()].map(({ seen }) => seen) });
    settleFindings();
  }

  /** What several reports changed within `GATHER_MS` is published together, at the latest when the session of the first of them ends. */
  async function publishReports(scope: AbortSignal): Promise<void> {
    const waitMs = heardAtMs + GATHER_MS - clock.monotonic();
    if (isHeld) {
      return;
    }
    isHeld = true;
    try {
      if (waitMs > 0) {
        await clock.sleep(waitMs, scope);
      }
    } catch {
      // It ends: nothing is left to wait for.
    }
    publishHeld();
  }

  /** Nothing, when something else published it meanwhile. */
  function publishHeld(): void {
    if (isHeld) {
      heardAtMs = clock.monotonic();
      publish();
    }
  }

  async function forgetInTime(signal: AbortSignal): Promise<void> {
    for (;;) {
      const closedAtMs = [...said.values()].reduce(
        (first, { closedAtMs: at }) => Math.min(first, at ?? first),
        Number.POSITIVE_INFINITY,
      );
      if (closedAtMs === Number.POSITIVE_INFINITY) {
        await parted.wait(signal);
      } else {
        await clock.sleep(Math.max(0, closedAtMs + REMEMBER_MS - clock.monotonic()), signal);
        settleFindings();
      }
    }
  }

  /** Equal findings of several proxies are one. */
  function settleFindings(): void {
    for (const [taskId, { closedAtMs }] of said) {
      if (closedAtMs !== undefined && clock.monotonic() - closedAtMs >= REMEMBER_MS) {
        said.delete(taskId);
      }
    }
    const all = new Map<string, Finding>();
    for (const finding of [...refusalFindings(), ...[...said.values()].flatMap(({ findings }) => findings)]) {
      if (all.size < MAX_FINDINGS) {
        all.set(findingKey(finding), finding);
      }
    }
    board.setFindings(`agents ${settings.name}`, [...all.values()]);
  }

  /** Only what is newest counts: who refused an older artifact has been told something else meanwhile. */
  function refusalFindings(): readonly Finding[] {
    const newest = extension.rendered.get()?.artifact.digest;
    return [...open.values()].flatMap(({ seen: { refused } }) =>
      refused !== undefined && refused.artifactDigest === newest
        ? [refusedFinding(refused.reason, settings.serviceCluster)]
        : [],
    );
  }

  function begin(hello: AgentHello): OpenSession {
    const older = open.get(hello.taskId);
    if (older === undefined && open.size >= MAX_SESSIONS) {
      throw refusal('exhausted', `more than ${MAX_SESSIONS} proxies have a session`);
    }
    older?.over.abort(refusal('precondition', 'a newer session of this task has taken over'));
    const session: OpenSession = {
      over: new AbortController(),
      seen: {
        taskId: hello.taskId,
        nodeId: hello.nodeId,
        artifactDigest: hello.artifactDigest,
        connectedAtMs: clock.now(),
      },
    };
    open.set(hello.taskId, session);
    publish();
    logger.info(
      { task: hello.taskId, node: hello.nodeId, nginx: hello.proxyVersion, open: open.size },
      'agent connected',
    );
    return session;
  }

  function end(session: OpenSession): void {
    const { taskId } = session.seen;
    // Else a newer session has taken the task over.
    if (open.get(taskId) === session) {
      open.delete(taskId);
      const last = said.get(taskId);
      if (last !== undefined) {
        said.set(taskId, { ...last, closedAtMs: clock.monotonic() });
        parted.fire();
      }
      publish();
      logger.info({ task: taskId, open: open.size }, 'agent disconnected');
    }
  }

  function take(session: OpenSession, report: AgentReport): void {
    const { taskId } = session.seen;
    const { artifactDigest, outcome, durationMs, findings } = report;
    logger.debug({ task: taskId, artifact: artifactDigest?.slice(0, 12), outcome: outcome.kind, durationMs }, 'report');
    session.seen = afterReport(session.seen, report, clock.now());
    if (outcome.kind === 'draining') {
      said.delete(taskId);
    } else {
      said.set(taskId, { findings, closedAtMs: undefined });
    }
  }

  /** Until the agent ends its side or `scope` aborts; never rejects, and ends the session when the reports do. */
  async function listen(session: OpenSession, words: AsyncIterable<AgentWord>, scope: AbortSignal): Promise<void> {
    const iterator = words[Symbol.asyncIterator]();
    const rate = createRate(clock, MAX_REPORTS_PER_SECOND);
    const unreachedRate = createRate(clock, MAX_UNREACHED_PER_SECOND);
    try {
      for (;;) {
        const next = await orAborted(iterator.next(), scope);
        if (next === undefined || scope.aborted) {
          return;
        }
        if (next.done === true) {
          session.over.abort(ENDED);
          return;
        }
        if (rate.isExceeded()) {
          session.over.abort(refusal('exhausted', `more than ${MAX_REPORTS_PER_SECOND} reports in a second`));
          return;
        }
        if (!('unreached' in next.value)) {
          take(session, next.value);
          void publishReports(scope); // ends with the session
        } else if (!unreachedRate.isExceeded()) {
          parts.onUnreached?.(next.value.unreached);
        }
      }
    } catch (error) {
      session.over.abort(error);
    }
  }

  function remember(artifact: ConfigArtifact): void {
    recent.unshift(artifact);
    recent.length = Math.min(recent.length, RECENT_ARTIFACTS);
  }

  async function* directives(session: OpenSession, signal: AbortSignal): AsyncIterable<AgentDirective> {
    if (!settings.hitless) {
      yield { kind: 'none' };
      await untilAborted(signal);
      throw abortReason(signal);
    }
    const budget = createReloadBudget(parts.reloadsPerMinute);
    let told: Rendered | undefined;
    for await (const next of extension.rendered.watch(signal)) {
      if (next.artifact.digest !== told?.artifact.digest) {
        // Whatever waits for the budget, what is sent is the newest.
        told = (await affordable(next, told, budget, signal)) ?? next;
        budget.told(clock.monotonic());
        if (recent[0]?.digest !== told.artifact.digest) {
          remember(told.artifact);
        }
        settleFindings();
        const { revision, artifact } = told;
        const served = recent.find(({ digest }) => digest === session.seen.artifactDigest);
        const along = pieces.along(artifact, served, open.size);
        yield { kind: 'serve', revision: { ...revision, epoch }, manifest: manifestOf(artifact), along };
      }
    }
  }

  /** Waits while the budget is spent; what lost an endpoint since `told` does not wait. */
  async function affordable(
    next: Rendered,
    told: Rendered | undefined,
    budget: ReloadBudget,
    signal: AbortSignal,
  ): Promise<Rendered | undefined> {
    let newest: Rendered | undefined = next;
    for (;;) {
      const waitMs = budget.waitMs(clock.monotonic());
      if (waitMs === 0 || newest === undefined || mayNotWait(newest, told)) {
        return newest;
      }
      await untilNewer(extension.rendered, newest, { clock, waitMs, signal });
      newest = extension.rendered.get();
    }
  }

  return {
    async *session(hello, words, signal) {
      signal.throwIfAborted();
      const session = begin(hello);
      const scope = AbortSignal.any([signal, session.over.signal]);
      const listening = listen(session, words, scope);
      try {
        yield* directives(session, scope);
      } catch (error) {
        if (session.over.signal.reason !== ENDED) {
          throw error;
        }
      } finally {
        session.over.abort(ENDED);
        await listening;
        end(session);
      }
    },
    component: { name: `serve.agents.${settings.name}`, run: forgetInTime },
    blobs(digests) {
      const find = blobsIn(recent);
      return digests.map(find);
    },
    sessions() {
      settleFindings();
      return [...open.values()].map(({ seen }) => statusOf(seen)).sort((a, b) => compareText(a.taskId, b.taskId));
    },
  };
}

/** Counts anew each second. */
function createRate(clock: Pick<Clock, 'monotonic'>, perSecond: number): { isExceeded(): boolean } {
  let sinceMs = Number.NEGATIVE_INFINITY;
  let count = 0;
  return {
    isExceeded() {
      const now = clock.monotonic();
      if (now - sinceMs >= 1_000) {
        sinceMs = now;
        count = 0;
      }
      count += 1;
      return count > perSecond;
    },
  };
}

/** An endpoint that is gone, or may be: a proxy that still asks it loses requests. */
function mayNotWait({ losses }: Rendered, told: Rendered | undefined): boolean {
  return told === undefined || losses === undefined || losses !== told.losses;
}

/** Until the cell holds another value, at most `waitMs`. */
async function untilNewer<Value>(
  cell: ReadableCell<Value>,
  known: Value,
  { clock, waitMs, signal }: { clock: Pick<Clock, 'sleep'>; waitMs: number; signal: AbortSignal },
): Promise<void> {
  const scope = new AbortController();
  const either = AbortSignal.any([signal, scope.signal]);
  const newer = (async () => {
    for await (const value of cell.watch(either)) {
      if (value !== known) {
        return;
      }
    }
  })();
  const passed = clock.sleep(waitMs, either);
  try {
    await Promise.race([newer, passed]);
  } finally {
    scope.abort();
    await Promise.allSettled([newer, passed]);
  }
}

/** Why a session is over when the agent ended it. */
const ENDED = new Error('the agent ended its session');

function afterReport(seen: AgentSession, { artifactDigest, outcome }: AgentReport, nowMs: number): AgentSession {
  switch (outcome.kind) {
    case 'applied':
      return { ...seen, artifactDigest, appliedAtMs: nowMs, refused: undefined };
    case 'refused':
      return artifactDigest === undefined ? seen : { ...seen, refused: { artifactDigest, reason: outcome.reason } };
    case 'draining':
      return seen;
  }
}

function refusedFinding(reason: string, serviceCluster: string): Finding {
  return createFinding(
    'DELIVERY.REFUSED',
    `A proxy's NGINX will not serve the newest file and keeps the one before: ${reason.slice(0, 1_000)}`,
    { serviceCluster, value: reason },
  );
}

/** By their digests: the pieces of the files, and the files as a whole for who knows of no pieces. */
function blobsIn(artifacts: readonly ConfigArtifact[]): (digest: string) => BlobContent {
  const pieces = new Map(artifacts.flatMap(piecesIn).map((piece) => [piece.digest, piece] as const));
  const wholes = new Map(
    artifacts.flatMap(
      (artifact) => manifestOf(artifact).entries.map(({ blob }, at) => [blob, artifact.files[at] as CutFile] as const), // in the order of the files
    ),
  );
  return (digest) => {
    const found = pieces.get(digest) ?? wholes.get(digest);
    if (found === undefined) {
      throw refusal('not-found', `no artifact of late has the blob ${digest}`);
    }
    return { digest, bytes: found.bytes };
  };
}

function statusOf({ taskId, nodeId, artifactDigest, appliedAtMs, refused }: AgentSession): SessionStatus {
  return { taskId, nodeId, artifactDigest, appliedAtMs, refused };
}

/** Not a race against one promise of the whole session: that one would remember every report until the session ends. */
function orAborted<Value>(next: Promise<Value>, signal: AbortSignal): Promise<Value | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(undefined);
    if (signal.aborted) {
      stop();
    }
    signal.addEventListener('abort', stop, { once: true });
    void next.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

function untilAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(undefined);
      return;
    }
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
