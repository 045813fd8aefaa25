/**
 * Whether the proxies of one cluster have an agent. A proxy image without one opens no session: then only a roll brings it anything.
 *
 *   unknown --a running task has had a session--------------> present
 *           '-one runs 15 s, none has ever had a session----> absent --a session--> present
 *
 * An agent that lost its connection is still an agent: it catches up when it is back, and nothing is rolled for it. That holds for a core
 * that starts anew too: proxies that it finds running have a minute, because an overlay network needs up to that long to find an engine
 * that was away. And no time counts before somebody has reached core at all.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { AgentsState } from '../board.ts';

/** From RUNNING to the session. Agents dial at once and again with backoff, so this is many tries. */
export const SESSION_WITHIN_MS = 15_000;

/** The same for tasks that ran before core: 27 s were seen after the engine of core's only manager had died. */
export const SESSION_AGAIN_WITHIN_MS = 60_000;

export type AgentPresence = 'present' | 'absent' | 'unknown';

export interface AgentWatch {
  /** Returns what follows, and when to ask again. */
  look(seen: ProxiesSeen): { readonly presence: AgentPresence; readonly holdMs: number | undefined };
}

export interface ProxiesSeen {
  /** Ids of the proxy service's tasks that run and shall. */
  readonly running: readonly string[];
  /** `undefined`: this core takes no sessions. */
  readonly agents: AgentsState | undefined;
  /** The extension, which lives on the same network, has reached this core. */
  readonly coreWasReached: boolean;
}

export function createAgentWatch(clock: Clock): AgentWatch {
  let presence: AgentPresence = 'unknown';
  let hadSession: ReadonlySet<string> = new Set();
  /** What ran when core first looked. */
  let before: ReadonlySet<string> | undefined;
  /** Until when each may take, by core's own clock: those of the nodes may differ. */
  let deadlines: ReadonlyMap<string, number> = new Map();

  return {
    look({ running, agents, coreWasReached }) {
      before ??= new Set(running);
      if (agents === undefined) {
        return { presence: 'absent', holdMs: undefined };
      }
      const now = clock.monotonic();
      const within = (id: string) => (before?.has(id) === true ? SESSION_AGAIN_WITHIN_MS : SESSION_WITHIN_MS);
      deadlines = new Map(coreWasReached ? running.map((id) => [id, deadlines.get(id) ?? now + within(id)]) : []);
      const connected = new Set(agents.sessions.map(({ taskId }) => taskId));
      hadSession = new Set(running.filter((id) => connected.has(id) || hadSession.has(id)));
      const waitsUntil = Math.min(...deadlines.values());
      presence = judge(presence, hadSession.size > 0, running.length > 0, waitsUntil <= now);
      return { presence, holdMs: presence === 'unknown' && deadlines.size > 0 ? waitsUntil - now : undefined };
    },
  };
}

function judge(before: AgentPresence, hadSession: boolean, anyRuns: boolean, timeIsUp: boolean): AgentPresence {
  if (hadSession) {
    return 'present';
  }
  if (before === 'absent' || (anyRuns && timeIsUp)) {
    return 'absent';
  }
  // With nothing running there is nothing to learn; new tasks after a roll have their time first.
  return anyRuns ? 'unknown' : before;
}
