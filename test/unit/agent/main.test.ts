import { EventEmitter } from 'node:events';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AGENT_SIGNALS } from '../../../src/agent/lifecycle.ts';
import { type AgentOptions, agentMain } from '../../../src/agent/main.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { createLogger } from '../../../src/runtime/logging.ts';

let home: string;
let signals: EventEmitter;
let stop: AbortController;
const lines: string[] = [];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'interlock-agent-'));
  signals = new EventEmitter();
  stop = new AbortController();
  lines.length = 0;
  await writeFile(join(home, 'nginx.conf'), 'events {}\n');
});
afterEach(() => rm(home, { recursive: true, force: true }));

describe('agentMain', () => {
  it('refuses a missing file and says where it belongs', async () => {
    await rm(join(home, 'nginx.conf'));

    await expect(run(await fakeNginx())).rejects.toMatchObject({
      code: 'AGENT.CONFIG_MISSING',
      message: expect.stringContaining('ProxyConfigPath') as string,
    });
  });

  it('refuses a folder in place of the file', async () => {
    const options = await fakeNginx();

    await expect(run({ ...options, configPath: home })).rejects.toMatchObject({ code: 'AGENT.CONFIG_MISSING' });
  });

  it('refuses a file that takes NGINX out of the foreground', async () => {
    await writeFile(join(home, 'nginx.conf'), 'daemon on;\nevents {}\n');

    await expect(run(await fakeNginx())).rejects.toMatchObject({ code: 'AGENT.CONFIG_DAEMON' });
  });

  it('refuses a binary that is not there', async () => {
    const options = await fakeNginx();

    await expect(run({ ...options, nginxBinary: join(home, 'absent') })).rejects.toMatchObject({
      code: 'AGENT.NGINX_MISSING',
    });
  });

  it('starts NGINX in the foreground from the mounted file, with the extra arguments behind', async () => {
    const running = run({ ...(await fakeNginx()), nginxArgs: ['-e', 'stderr'] });
    await serving();
    stop.abort();
    await running;

    expect(await told()).toContain(`args -c ${join(home, 'nginx.conf')} -g daemon off; -e stderr`);
  });

  it('does not repeat "daemon off" that the file says itself', async () => {
    await writeFile(join(home, 'nginx.conf'), 'daemon off;\nevents {}\n');

    const running = run(await fakeNginx());
    await serving();
    stop.abort();
    await running;

    expect(await told()).toContain(`args -c ${join(home, 'nginx.conf')}\n`);
  });

  it.each([
    ['exit 7', 7],
    ['exit 0', 1],
    ['kill -KILL $$', 1],
  ])('ends with the code that follows from NGINX ending by itself: %s', async (end, code) => {
    await expect(run(await fakeNginx({ start: end }))).resolves.toBe(code);
    expect(lines.join('')).toContain('AGENT.NGINX_EXITED');
  });

  it('passes on SIGHUP and SIGUSR1, and drains on SIGTERM', async () => {
    const running = run(await fakeNginx());
    await serving();
    signals.emit('SIGHUP');
    await eventually(async () => (await told()).includes('HUP'));
    signals.emit('SIGUSR1');
    await eventually(async () => (await told()).includes('USR1'));
    signals.emit('SIGTERM');

    await expect(running).resolves.toBe(0);
    expect(await toldSignals()).toEqual(['HUP', 'USR1', 'QUIT']);
  });

  it('keeps a reload for an NGINX that is still starting', async () => {
    const running = run(await fakeNginx({ start: 'sleep 0.3' }));
    await eventually(async () => (await told()).includes('args'));
    signals.emit('SIGHUP');
    await eventually(async () => (await told()).includes('HUP'));
    signals.emit('SIGQUIT');

    await expect(running).resolves.toBe(0);
    expect(await toldSignals()).toEqual(['HUP', 'QUIT']);
  });

  it('waits for the end of the drain, however long it lasts', async () => {
    const running = run(await fakeNginx({ quit: 'sleep 0.5; echo drained >> "$log"; exit 0' }));
    await serving();
    stop.abort(new Error('asked'));

    await expect(running).resolves.toBe(0);
    expect(await told()).toContain('drained');
  });

  it('ends fast on a second signal', async () => {
    const running = run(await fakeNginx({ quit: ':' }));
    await serving();
    signals.emit('SIGTERM');
    await eventually(async () => (await told()).includes('QUIT'));
    signals.emit('SIGTERM');

    await expect(running).resolves.toBe(0);
    expect(await toldSignals()).toEqual(['QUIT', 'TERM']);
  });

  it('does not take the same stop twice when it comes as a signal and as an abort', async () => {
    const running = run(await fakeNginx({ quit: 'sleep 0.2; exit 0' }));
    await serving();
    signals.emit('SIGTERM');
    stop.abort();

    await expect(running).resolves.toBe(0);
    expect(await toldSignals()).toEqual(['QUIT']);
  });

  it('ends an NGINX that is still starting without waiting for it', async () => {
    const running = run(await fakeNginx({ start: 'exec sleep 30' }));
    await eventually(async () => (await told()).includes('args'));
    signals.emit('SIGTERM');

    await expect(running).resolves.toBe(0);
  });

  it('starts nothing when it was stopped before', async () => {
    const options = await fakeNginx();
    stop.abort();

    await expect(run(options)).resolves.toBe(0);
    expect(await told()).toBe('');
  });

  it('starts nothing when a signal comes while it prepares', async () => {
    const running = run(await fakeNginx());
    signals.emit('SIGTERM');

    await expect(running).resolves.toBe(0);
    expect(await told()).toBe('');
  });

  it('gives back what a failing drain says', async () => {
    const running = run(await fakeNginx({ quit: 'exit 5' }));
    await serving();
    signals.emit('SIGTERM');

    await expect(running).resolves.toBe(5);
  });

  it('makes the folders that are missing, and starts without those it cannot make', async () => {
    await run(await fakeNginx({ start: 'exit 1' }));
    await expect(stat(join(home, 'cache/nginx'))).resolves.toBeDefined();

    await rm(join(home, 'cache'), { recursive: true });
    await writeFile(join(home, 'cache'), 'in the way');
    await expect(run(await fakeNginx({ start: 'exit 4' }))).resolves.toBe(4);
  });

  it('warns of an NGINX that is too old, and starts it', async () => {
    const running = run(await fakeNginx({ version: '1.22.1' }));
    await serving();
    stop.abort();

    await expect(running).resolves.toBe(0);
    expect(lines.join('')).toContain('AGENT.NGINX_TOO_OLD');
  });

  it('leaves no signal handler behind, however it ends', async () => {
    await run(await fakeNginx({ start: 'exit 1' }));
    await rm(join(home, 'nginx.conf'));
    await run(await fakeNginx()).catch(() => undefined);

    expect(AGENT_SIGNALS.map((name) => signals.listenerCount(name))).toEqual([0, 0, 0, 0, 0]);
  });
});

function run(options: AgentOptions): Promise<number> {
  const logger = createLogger({ level: 'debug', component: 'agent' }, { write: (line) => void lines.push(line) });
  const directories = [join(home, 'cache/nginx')];
  return agentMain(options, { signal: stop.signal, logger, clock: systemClock, signals, stdio: 'ignore', directories });
}

interface Fake {
  readonly version?: string;
  /** Shell, before signals are handled. */
  readonly start?: string;
  /** Shell, on SIGQUIT. */
  readonly quit?: string;
}

/** A shell script that takes signals as NGINX does and writes down what it is told. */
async function fakeNginx({ version = '1.30.6', start = ':', quit = 'exit 0' }: Fake = {}): Promise<AgentOptions> {
  const binary = join(home, 'nginx');
  const script = `#!/bin/sh
log='${join(home, 'told')}'
[ "$1" != -v ] || { echo 'nginx version: nginx/${version}' >&2; exit 0; }
echo "args $*" >> "$log"
${start}
on_quit() { echo QUIT >> "$log"; ${quit}; }
trap 'echo HUP >> "$log"' HUP
trap 'echo USR1 >> "$log"' USR1
trap 'echo TERM >> "$log"; exit 0' TERM
trap on_quit QUIT
while :; do sleep 0.2 & wait $!; done
`;
  await writeFile(binary, script);
  await chmod(binary, 0o755);
  return { configPath: join(home, 'nginx.conf'), nginxBinary: binary, nginxArgs: [] };
}

function serving(): Promise<void> {
  return eventually(() => lines.some((line) => line.includes('"kind":"serving"')));
}

function told(): Promise<string> {
  return readFile(join(home, 'told'), 'utf8').catch(() => '');
}

async function toldSignals(): Promise<readonly string[]> {
  return (await told()).split('\n').filter((line) => /^[A-Z0-9]+$/.test(line));
}

async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) {
    await systemClock.sleep(10, AbortSignal.timeout(5_000));
  }
}
