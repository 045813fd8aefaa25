import { describe, expect, it } from 'vitest';
import type { AgentsState } from '../../../../src/core/board.ts';
import {
  createAgentWatch,
  SESSION_AGAIN_WITHIN_MS,
  SESSION_WITHIN_MS,
} from '../../../../src/core/publish/agent-watch.ts';
import { createManualClock } from '../../../fakes/manual-clock.ts';

const sessions = (...taskIds: readonly string[]): AgentsState => ({
  sessions: taskIds.map((taskId) => ({ taskId, nodeId: 'n', artifactDigest: undefined, connectedAtMs: 0 })),
});

/** A core that found no task at its start, unless told otherwise. */
function watch(found: readonly string[] = []) {
  const clock = createManualClock();
  const agents = createAgentWatch(clock);
  const look = (running: readonly string[], state: AgentsState | undefined, coreWasReached = true) =>
    agents.look({ running, agents: state, coreWasReached });
  look(found, sessions());
  return { clock, agents: { look } };
}

describe('agent watch', () => {
  it('without anybody who takes sessions there are no agents, and nothing to wait for', () => {
    expect(watch().agents.look(['a'], undefined)).toEqual({ presence: 'absent', holdMs: undefined });
  });

  it('learns nothing while nothing runs', async () => {
    const { clock, agents } = watch();
    await clock.advance(SESSION_WITHIN_MS * 10);
    expect(agents.look([], sessions())).toEqual({ presence: 'unknown', holdMs: undefined });
  });

  it('gives each task its time, by the oldest', async () => {
    const { clock, agents } = watch();
    expect(agents.look(['a'], sessions())).toEqual({ presence: 'unknown', holdMs: SESSION_WITHIN_MS });
    await clock.advance(10_000);
    expect(agents.look(['a', 'b'], sessions())).toEqual({ presence: 'unknown', holdMs: 5_000 });
    await clock.advance(5_000);
    expect(agents.look(['a', 'b'], sessions()).presence).toBe('absent');
  });

  it('one session of a running task is enough, also when it has broken off', async () => {
    const { clock, agents } = watch();
    agents.look(['a', 'b'], sessions('b'));
    await clock.advance(SESSION_WITHIN_MS * 10);
    expect(agents.look(['a', 'b'], sessions()).presence).toBe('present');
  });

  it('a session of a task that does not run proves nothing', async () => {
    const { clock, agents } = watch();
    agents.look(['a'], sessions('stranger'));
    await clock.advance(SESSION_WITHIN_MS);
    expect(agents.look(['a'], sessions('stranger')).presence).toBe('absent');
  });

  it('other tasks after a roll have their time anew', async () => {
    const { clock, agents } = watch();
    agents.look(['a'], sessions('a'));
    expect(agents.look(['b'], sessions())).toEqual({ presence: 'unknown', holdMs: SESSION_WITHIN_MS });
    await clock.advance(SESSION_WITHIN_MS);
    expect(agents.look(['b'], sessions()).presence).toBe('absent');
    expect(agents.look(['c'], sessions()).presence).toBe('absent');
    expect(agents.look(['c'], sessions('c')).presence).toBe('present');
  });

  it('tasks that ran before core have longer, and those that start later do not', async () => {
    const { clock, agents } = watch(['a']);
    await clock.advance(20_000);
    expect(agents.look(['a'], sessions())).toEqual({ presence: 'unknown', holdMs: SESSION_AGAIN_WITHIN_MS - 20_000 });
    await clock.advance(SESSION_AGAIN_WITHIN_MS - 20_000 - 1);
    expect(agents.look(['a'], sessions()).presence).toBe('unknown');
    await clock.advance(1);
    expect(agents.look(['a'], sessions()).presence).toBe('absent');

    const mixed = watch(['a']);
    expect(mixed.agents.look(['a', 'b'], sessions()).holdMs).toBe(SESSION_WITHIN_MS);
  });

  it('no time counts while nobody has reached core: a network that is not there yet says nothing about images', async () => {
    const { clock, agents } = watch();
    expect(agents.look(['a'], sessions(), false)).toEqual({ presence: 'unknown', holdMs: undefined });
    await clock.advance(SESSION_AGAIN_WITHIN_MS * 10);
    expect(agents.look(['a'], sessions(), false)).toEqual({ presence: 'unknown', holdMs: undefined });
    expect(agents.look(['a'], sessions(), true)).toEqual({ presence: 'unknown', holdMs: SESSION_WITHIN_MS });
    await clock.advance(SESSION_WITHIN_MS - 1);
    expect(agents.look(['a'], sessions('a')).presence).toBe('present');
  });
});
