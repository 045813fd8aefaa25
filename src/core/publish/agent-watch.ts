/**
 * Whether the proxies of one cluster have an agent. A proxy image without one opens no session: then only a roll brings it anything.
 *
 *   unknown --a running task has had a session--------------> present
 *           '-one runs 15 s, none has ever had a session----> absent --a session--> present
 *
 * An agent that lost its connection is still an agent: it catches up when it is back, and nothing is rolled for it.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { AgentsState } from '../board.ts';

/** From RUNNING to the session. Agents dial at once and again with backoff, so this is many tries. */
export const SESSION_WITHIN_MS = 15_000;

export type AgentPresence = 'present' | 'absent' | 'unknown';

export interface AgentWatch {
  /** `running`: ids of the proxy service's tasks that run and shall. Returns what follows, and when to ask again. */
  look(
    running: readonly string[],
    agents: AgentsState | undefined,
  ): { readonly presence: AgentPresence; readonly holdMs: number | undefined };
}

export function createAgentWatch(clock: Clock): AgentWatch {
  let presence: AgentPresence = 'unknown';
  let hadSession: ReadonlySet<string> = new Set();
  /** By core's own clock: those of the nodes may differ. */
  let runningSince: ReadonlyMap<string, number> = new Map();

  return {
    look(running, agents) {
      if (agents === undefined) {
        return { presence: 'absent', holdMs: undefined };
      }
      const now = clock.now();
      runningSince = new Map(running.map((id) => [id, runningSince.get(id) ?? now]));
      const connected = new Set(agents.sessions.map(({ taskId }) => taskId));
      hadSession = new Set(running.filter((id) => connected.has(id) || hadSession.has(id)));
      const waitsUntil = Math.min(...[...runningSince.values()].map((since) => since + SESSION_WITHIN_MS));
      presence = judge(presence, hadSession.size > 0, running.length > 0, waitsUntil <= now);
      return { presence, holdMs: presence === 'unknown' && running.length > 0 ? waitsUntil - now : undefined };
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
