/** The command as a process: exit codes, words and signals. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';

const SCRIPT = fileURLToPath(new URL('../../../src/bin/interlock.ts', import.meta.url));
/** Nobody answers there: core waits for its engine. */
const ALONE = `
DockerURL = "unix:///nonexistent/docker.sock"
ListenAddr = "127.0.0.1:0"
EndpointOverride = "core:1"
[Extensions.default]
ProxyConfigPath = "/etc/nginx/nginx.conf"
`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'interlock-bin-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Run {
  readonly child: ChildProcess;
  readonly said: { out: string; err: string };
  readonly exit: Promise<number | null>;
}

function run(...args: readonly string[]): Run {
  const child = spawn(process.execPath, ['--import', 'tsx', SCRIPT, ...args], {
    stdio: [args.includes('-') ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      INTERLOCK_OPERATOR_SOCKET: path.join(tmpdir(), `interlock-${process.pid}`, 'operator.sock'),
    },
  });
  const said = { out: '', err: '' };
  child.stdout?.on('data', (chunk: Buffer) => {
    said.out += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    said.err += chunk.toString();
  });
  return { child, said, exit: new Promise((resolve) => child.once('close', resolve)) };
}

async function config(name: string, text: string): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, text);
  return file;
}

describe('interlock', { timeout: 40_000 }, () => {
  it('stops at the first SIGINT while it reads standard input', async () => {
    const { child, exit } = run('check', '-', '--kind', 'stack');
    // More than a pipe holds: it is read when all is written.
    await new Promise((resolve) => child.stdin?.write(Buffer.alloc(4 * 1024 * 1024, ' '), resolve));
    child.kill('SIGINT');
    expect(await exit).toBe(1);
  });

  it('ends with 64 and a hint for a line that makes no sense', async () => {
    const { exit, said } = run('nonsense');
    expect(await exit).toBe(64);
    expect(said.err).toContain('unknown command: nonsense\nTry: interlock help\n');
  });

  it('says which config.toml cannot be read, without a stack', async () => {
    const { exit, said } = run('core', '-c', '/nonexistent.toml');
    expect(await exit).toBe(1);
    expect(said.err).toMatch(/^cannot read \/nonexistent\.toml: ENOENT.*\n/m);
    expect(said.out).not.toContain('at readSettings');
  });

  it('names every problem of a config.toml on a line of its own', async () => {
    const file = await config('bad.toml', 'ListenAddr = "x"\nPollInterval = "soon"\n[Extensions.a]\nImage = 3\n');
    const { exit, said } = run('core', '-c', file);
    expect(await exit).toBe(1);
    expect(said.err).toMatch(/^ListenAddr: .*\nPollInterval: .*\nExtensions\.a\.Image: /m);
    const line = JSON.parse(said.out) as Record<string, unknown>;
    expect(line).toMatchObject({ level: 'fatal', code: 'SETTINGS.INVALID' });
  });

  it('names the place where TOML breaks off', async () => {
    const { exit, said } = run('core', '-c', await config('broken.toml', 'ListenAddr = [1\n'));
    expect(await exit).toBe(1);
    expect(said.err).toMatch(/line 2/);
  });

  it('stops with 0 when told to while it waits for its engine', async () => {
    const { child, exit, said } = run('core', '-c', await config('alone.toml', ALONE));
    await eventually(() => said.out.includes('engine not ready'), { timeoutMs: 30_000 });
    child.kill('SIGTERM');
    expect(await exit).toBe(0);
    expect(said.out).toContain('"signal":"SIGTERM"');
  });
});
