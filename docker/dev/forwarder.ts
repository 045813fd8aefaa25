/** Starts and ends the two processes of forward.js that bring a port of the private engine to 127.0.0.1. */
import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Bed, PrivateNode } from './bed.ts';
import { StepFailure } from './report.ts';
import type { Places } from './state.ts';

const PROGRAM = fileURLToPath(new URL('forward.js', import.meta.url));
const HALVES = ['inside', 'outside'] as const;
type Half = (typeof HALVES)[number];

const PROCESS = z.object({ pid: z.number(), start: z.string(), netns: z.string() });
type ForwardProcess = z.infer<typeof PROCESS>;

export interface ForwarderTools {
  readonly places: Places;
  readonly bed: Bed;
  readonly signal: AbortSignal;
}

/** 127.0.0.1:`from` leads to port `to` of the node. Returns false when it did already. */
export async function startForwarder(
  { places, bed, signal }: ForwarderTools,
  options: { readonly name: string; readonly node: PrivateNode; readonly from: number; readonly to: number },
): Promise<boolean> {
  const folder = join(places.up, 'forward');
  const socket = join(folder, 'socket');
  await mkdir(folder, { recursive: true });
  const halves = {
    outside: [`127.0.0.1:${options.from}`, socket],
    inside: [socket, `${options.node.address}:${options.to}`],
  } as const satisfies Record<Half, readonly string[]>;
  const namespace = `net:[${statSync(options.node.netns).ino}]`;
  const [inside, outside] = [
    await alive(folder, 'inside', halves.inside),
    await alive(folder, 'outside', halves.outside),
  ];
  if (inside?.netns === namespace && outside !== undefined) return false;
  await stopForwarder(places);
  await mkdir(folder, { recursive: true });

  const uid = process.getuid?.() ?? 0;
  const asUser =
    uid === 0 ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${process.getgid?.() ?? uid}`, '--clear-groups'];
  // Entering the namespace takes root; what runs there for days does not.
  const command = [...asUser, process.execPath, PROGRAM, pidFile(folder, 'inside'), ...halves.inside];
  await bed(
    'swarm.sh',
    'net-exec',
    options.name,
    '1',
    'setsid',
    '--fork',
    'sh',
    '-c',
    'exec "$@" </dev/null >/dev/null 2>&1',
    'sh',
    ...command,
  );
  await started(folder, 'inside', signal);
  spawn(process.execPath, [PROGRAM, pidFile(folder, 'outside'), ...halves.outside], {
    detached: true,
    stdio: 'ignore',
  }).unref();
  await started(folder, 'outside', signal);
  return true;
}

/** Ends those of the two that live, and nothing else that may have got their pid since. Returns how many there were. */
export async function stopForwarder(places: Places): Promise<number> {
  const folder = join(places.up, 'forward');
  const stopped: ForwardProcess[] = [];
  for (const half of HALVES) {
    const process_ = await alive(folder, half);
    if (process_ === undefined) continue;
    process.kill(process_.pid, 'SIGTERM');
    stopped.push(process_);
    for (let tries = 0; tries < 100 && isAlive(process_, half, folder); tries += 1) await sleep(20);
  }
  await rm(folder, { recursive: true, force: true });
  return stopped.length;
}

function pidFile(folder: string, half: Half): string {
  return join(folder, `${half}.pid`);
}

async function alive(folder: string, half: Half, args: readonly string[] = []): Promise<ForwardProcess | undefined> {
  const text = await readFile(pidFile(folder, half), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const process_ = PROCESS.parse(JSON.parse(text));
  return isAlive(process_, half, folder, args) ? process_ : undefined;
}

/** The same process: pid, start time and command line. */
function isAlive({ pid, start }: ForwardProcess, half: Half, folder: string, args: readonly string[] = []): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return (
      stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] === start &&
      [PROGRAM, pidFile(folder, half), ...args].every((word) => command.includes(word))
    );
  } catch {
    // No such process.
    return false;
  }
}

async function started(folder: string, half: Half, signal: AbortSignal): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if ((await alive(folder, half)) !== undefined) return;
    const error = await readFile(`${pidFile(folder, half)}.error`, 'utf8').catch(() => undefined);
    if (error !== undefined)
      throw new StepFailure(error.trim(), 'See whether another program has the port; choose another with --port.');
    await sleep(50, undefined, { signal });
  }
  throw new StepFailure(`its ${half} half did not start within 10 s`, 'Try again; npm run down cleans up.');
}
