/** How a proxy leaves an outer balancer: it says so first, and stops after that. NGINX is a shell script, time is in the test's hands. */
import { EventEmitter } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { agentMain } from '../../../src/agent/main.ts';
import { agentReadiness } from '../../../src/agent/metrics.ts';
import { createCell } from '../../../src/runtime/cell.ts';
import { type Clock, systemClock } from '../../../src/runtime/clock.ts';
import { createLogger } from '../../../src/runtime/logging.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/nginx.ts';

const DELAY_MS = 3_600_000;

let home: string;
let signals: EventEmitter;
let stop: AbortController;
let readyPort: number;
let isOver: AbortController;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'interlock-leaving-'));
  signals = new EventEmitter();
  stop = new AbortController();
  isOver = new AbortController();
  readyPort = await freePort();
  await writeFile(join(home, 'nginx.conf'), 'events {}\n');
  // Each signal on a line of its own; it drains until the file `drained` is there.
  await writeFile(
    join(home, 'nginx'),
    `#!/bin/sh
case " $* " in *' -v '*) echo 'nginx version: nginx/1.30.6' >&2; exit 0 ;; esac
trap 'echo QUIT >> ${home}/told; until [ -e ${home}/drained ]; do sleep 0.05; done; exit 0' QUIT
trap 'echo TERM >> ${home}/told; exit 0' TERM
trap : HUP USR1 WINCH USR2
while :; do sleep 0.2 & wait $!; done
`,
  );
  await chmod(join(home, 'nginx'), 0o755);
});
afterEach(async () => {
  await writeFile(join(home, 'drained'), '');
  stop.abort();
  signals.emit('SIGTERM');
  await rm(home, { recursive: true, force: true });
});

/** The delay is over when the test says so; everything else takes its time. */
const clock: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic(),
  sleep(ms, signal) {
    if (ms !== DELAY_MS) {
      return systemClock.sleep(ms, signal);
    }
    return new Promise((resolve, reject) => {
      isOver.signal.addEventListener('abort', () => {
        resolve();
      });
      signal.addEventListener('abort', () => {
        reject(new Error('called off'));
      });
    });
  },
};

function run(): Promise<number> {
  const logger = createLogger({ level: 'silent', component: 'agent' });
  const options = {
    configPath: join(home, 'nginx.conf'),
    nginxBinary: join(home, 'nginx'),
    nginxArgs: [],
    readyPort,
    leaveDelayMs: DELAY_MS,
  };
  return agentMain(options, { signal: stop.signal, logger, clock, signals, stdio: 'ignore', directories: [] });
}

async function readyz(): Promise<number> {
  const { statusCode, body } = await request(`http://127.0.0.1:${readyPort}/readyz`, { reset: true });
  await body.dump();
  return statusCode;
}

const told = (): Promise<string> => readFile(join(home, 'told'), 'utf8').catch(() => '');
const until = (holds: () => Promise<boolean>) => eventually(holds, { timeoutMs: 20_000 });

describe('a proxy that is told to stop', { timeout: 60_000 }, () => {
  it('says that it leaves before NGINX is told to', async () => {
    const running = run();
    await until(async () => (await readyz()) === 200);
    signals.emit('SIGTERM');
    expect(await readyz()).toBe(503);
    expect(await told()).toBe('');
    isOver.abort();
    await until(async () => (await told()) === 'QUIT\n');
    // Draining: the balancer still hears no, not silence.
    expect(await readyz()).toBe(503);
    await writeFile(join(home, 'drained'), '');
    expect(await running).toBe(0);
  });

  it('waits for nothing at a second word', async () => {
    const running = run();
    await until(async () => (await readyz()) === 200);
    signals.emit('SIGTERM');
    signals.emit('SIGTERM');
    await until(async () => (await told()) === 'QUIT\n');
    await writeFile(join(home, 'drained'), '');
    expect(await running).toBe(0);
  });

  it('takes an abort beside the signal for the same word', async () => {
    const running = run();
    await until(async () => (await readyz()) === 200);
    signals.emit('SIGTERM');
    stop.abort();
    expect(await readyz()).toBe(503);
    expect(await told()).toBe('');
    isOver.abort();
    await until(async () => (await told()) === 'QUIT\n');
    await writeFile(join(home, 'drained'), '');
    expect(await running).toBe(0);
  });

  it('offers no metrics to those outside', async () => {
    const running = run();
    await until(async () => (await readyz()) === 200);
    const { statusCode, body } = await request(`http://127.0.0.1:${readyPort}/metrics`, { reset: true });
    await body.dump();
    expect(statusCode).toBe(404);
    signals.emit('SIGINT');
    expect(await running).toBe(0);
  });
});

describe('agentReadiness', () => {
  const serving = { kind: 'serving' } as const;
  const delivery = (serves: string, newest: string, refused?: string) => ({
    standing: createCell({
      serving: { digest: serves, durationMs: 0, findings: [] },
      refused: refused === undefined ? undefined : { digest: refused, reason: 'no', durationMs: 0 },
      draining: false,
    }),
    orders: createCell({
      kind: 'serve' as const,
      revision: { digest: newest, sequence: 1, versionIndex: 1, epoch: 'e' },
      manifest: { digest: newest, entries: [] },
      along: [],
      receivedAtMs: 0,
    }),
  });

  it('is yes while NGINX serves, also an older file: a bad one must not take every proxy away', () => {
    expect(agentReadiness(serving, false, undefined)).toEqual({ ready: true, words: 'ready' });
    expect(agentReadiness(serving, false, delivery('a', 'a'))).toEqual({ ready: true, words: 'ready' });
    expect(agentReadiness(serving, false, delivery('a', 'b')).ready).toBe(true);
    expect(agentReadiness(serving, false, delivery('a', 'b', 'b'))).toEqual({
      ready: true,
      words: 'ready: NGINX refused the newest configuration and serves the one before',
    });
  });

  it('is no before NGINX serves and from the first word to stop', () => {
    expect(agentReadiness({ kind: 'starting', kept: [] }, false, undefined).ready).toBe(false);
    expect(agentReadiness(serving, true, undefined).ready).toBe(false);
    expect(agentReadiness({ kind: 'draining', pace: 'graceful' }, true, undefined).ready).toBe(false);
  });
});
