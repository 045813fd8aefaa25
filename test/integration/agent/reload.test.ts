/** The agent's way through a reload, with a real NGINX: who tells the old workers to finish, and that nobody is started or lost by it. */
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { type ReloadOutcome, reload } from '../../../src/agent/nginx/reload.ts';
import { acceptingWorkers, childrenOf, workers } from '../../../src/agent/nginx/workers.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { eventually, type RunningAgent, startAgent } from './real-nginx.ts';

const generation = (number: number) => `server { listen 127.0.0.1:PORT; location / { return 200 "${number}"; } }`;

interface Serving {
  readonly agent: RunningAgent;
  /** Pid of NGINX's master. */
  readonly master: number;
}

async function serving(agent: RunningAgent): Promise<Serving> {
  await agent.reached('serving');
  const [master = 0] = await agent.pids();
  await eventually(() => acceptingWorkers(master).length === 2);
  return { agent, master };
}

function reloadOnce(master: number): Promise<ReloadOutcome> {
  return reload(
    {
      nginx: { pid: master },
      complaints: { directive: '', clear: () => Promise.resolve(), read: () => Promise.resolve('') },
      send: () => void process.kill(master, 'SIGHUP'),
      clock: systemClock,
      logger: pino({ level: 'silent' }),
    },
    AbortSignal.timeout(20_000),
  );
}

/** On a connection of its own. */
async function answer(port: number): Promise<string> {
  const [response] = (await once(get({ port, agent: false }), 'response')) as [IncomingMessage];
  return (await response.toArray()).join('');
}

describe('old workers', () => {
  it('finish as soon as new ones accept, though the master says nothing', async () => {
    await using agent = await startAgent(generation(1));
    const { master } = await serving(agent);
    const old = acceptingWorkers(master);
    await agent.rewrite(generation(2));

    const outcome = reloadOnce(master);
    await eventually(() => childrenOf(master).some((pid) => !old.includes(pid)));
    // It sleeps now, for 100 ms, before it would tell them.
    await eventually(() => acceptingWorkers(master).filter((pid) => !old.includes(pid)).length === 2);
    process.kill(master, 'SIGSTOP');
    try {
      await expect(outcome).resolves.toEqual({ kind: 'applied' });
      expect(acceptingWorkers(master).some((pid) => old.includes(pid))).toBe(false);
      await expect(answer(agent.port)).resolves.toBe('2');
    } finally {
      process.kill(master, 'SIGCONT');
    }

    // Awake again it finds them gone, and starts nobody in their place.
    await eventually(() => childrenOf(master).every((pid) => workers(master).includes(pid)));
    expect(childrenOf(master)).toHaveLength(2);
  });

  it('are as many as before after twenty reloads, one right after the other, and every new connection is answered', async () => {
    await using agent = await startAgent(generation(0));
    const { master } = await serving(agent);
    const over = new AbortController();
    const failed: unknown[] = [];
    let asked = 0;
    const client = async () => {
      while (!over.signal.aborted) {
        asked += 1;
        await answer(agent.port).catch((error: unknown) => void failed.push(error));
      }
    };
    const clients = [client(), client(), client(), client()];

    for (let round = 1; round <= 20; round += 1) {
      await agent.rewrite(generation(round));
      await expect(reloadOnce(master)).resolves.toEqual({ kind: 'applied' });
      await expect(answer(agent.port)).resolves.toBe(String(round));
    }

    over.abort();
    await Promise.all(clients);
    expect(failed).toEqual([]);
    expect(asked).toBeGreaterThan(20);
    await eventually(() => childrenOf(master).length === 2);
    expect(acceptingWorkers(master)).toHaveLength(2);
    await expect(agent.stderr()).resolves.not.toMatch(/\[(alert|crit|emerg)\]/);
  });

  it('of a file with fewer workers are left to the master', async () => {
    await using agent = await startAgent(generation(1));
    const { master } = await serving(agent);
    await agent.rewrite(generation(2), 1);

    await expect(reloadOnce(master)).resolves.toEqual({ kind: 'applied' });

    await expect(answer(agent.port)).resolves.toBe('2');
    await eventually(() => childrenOf(master).length === 1);
  });
});
