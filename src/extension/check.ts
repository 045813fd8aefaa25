/** Asks NGINX itself whether it would take the files: `nginx -t`, without a shell, with a time limit, its words bounded. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { ArtifactFile } from '../model/artifact.ts';
import { abortReason } from '../runtime/clock.ts';
import { toError } from '../runtime/errors.ts';
import { createCheckCertificate } from './check-certificate.ts';
import { type CheckPlaces, checkForm, movedMainPath, placesIn, realWords } from './check-form.ts';

export type CheckOutcome =
  | { readonly kind: 'passed' }
  /** NGINX's own words, about the real paths. */
  | { readonly kind: 'failed'; readonly words: string }
  /** Says nothing about the files: another try may end otherwise. */
  | { readonly kind: 'unfinished'; readonly words: string }
  /** No NGINX here, or nowhere to put the files. */
  | { readonly kind: 'unavailable'; readonly why: string };

/** `mainPath` is the file that NGINX is started with. Throws the signal's reason when it aborts. */
export type Check = (files: readonly ArtifactFile[], mainPath: string, signal: AbortSignal) => Promise<CheckOutcome>;

export interface CheckOptions {
  /** A name on the PATH or a path. */
  readonly binary: string;
  /** Default 30,000. */
  readonly limitMs?: number;
  /** Where a temporary folder may go, the first that can be written to. Default: the system's, then `/run`. */
  readonly tempParents?: readonly string[];
}

const LIMIT_MS = 30_000;
const MAX_OUTPUT_BYTES = 64 * 1024;

export function createCheck({ binary, limitMs = LIMIT_MS, tempParents = [tmpdir(), '/run'] }: CheckOptions): Check {
  const certificate = createCheckCertificate();
  return async (files, mainPath, signal) => {
    signal.throwIfAborted();
    const folder = await makeFolder(tempParents);
    if (folder === undefined) {
      return { kind: 'unavailable', why: `no temporary folder can be made in ${tempParents.join(' or ')}` };
    }
    const places = placesIn(folder);
    try {
      const unwritten = await writeFiles(files, places, certificate);
      if (unwritten !== undefined) {
        return unwritten;
      }
      const run = await runNginx(binary, movedMainPath(mainPath, files, places), { limitMs, signal });
      return outcomeOf(run, (words) => realWords(words, files, places));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
}

async function makeFolder(parents: readonly string[]): Promise<string | undefined> {
  for (const parent of parents) {
    try {
      return await mkdtemp(`${parent}/interlock-check-`);
    } catch {
      // Read-only or missing: the next one may do; when none does, the outcome says so.
    }
  }
  return undefined;
}

/** Returns the outcome when the folder cannot take the files, e.g. because it is full. */
async function writeFiles(
  files: readonly ArtifactFile[],
  places: CheckPlaces,
  certificate: string,
): Promise<CheckOutcome | undefined> {
  try {
    await mkdir(places.cache);
    await writeFile(places.certificate, certificate, { mode: 0o600 });
    for (const { path, text } of checkForm(files, places)) {
      await writeFile(path, text, { mode: 0o600 });
    }
    return undefined;
  } catch (error) {
    return { kind: 'unavailable', why: `the files cannot be written to ${places.folder}: ${toError(error).message}` };
  }
}

type Run =
  | { readonly kind: 'ended'; readonly exitCode: number; readonly output: string }
  | { readonly kind: 'killed'; readonly signal: string; readonly output: string }
  | { readonly kind: 'not-started'; readonly why: string };

function outcomeOf(run: Run, toReal: (words: string) => string): CheckOutcome {
  switch (run.kind) {
    case 'not-started':
      return { kind: 'unavailable', why: run.why };
    case 'killed':
      return { kind: 'unfinished', words: `nginx -t was ended by ${run.signal}. ${toReal(run.output)}`.trim() };
    case 'ended':
      return run.exitCode === 0
        ? { kind: 'passed' }
        : { kind: 'failed', words: toReal(run.output).trim() || `nginx -t ended with code ${run.exitCode}` };
  }
}

interface RunLimits {
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

/** `-e stderr`: the error log compiled into NGINX lies on a read-only file system. */
function runNginx(binary: string, path: string, { limitMs, signal }: RunLimits): Promise<Run> {
  return new Promise((resolve, reject) => {
    const output: Buffer[] = [];
    let size = 0;
    const child = spawn(binary, ['-t', '-e', 'stderr', '-c', path], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: limitMs,
      killSignal: 'SIGKILL',
      signal,
    });
    const keep = (chunk: Buffer): void => {
      if (size < MAX_OUTPUT_BYTES) {
        output.push(chunk.subarray(0, MAX_OUTPUT_BYTES - size));
        size += chunk.byteLength;
      }
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('error', (error) => {
      // A child that could not be started never closes; one that was aborted does, and `close` answers.
      if (child.pid === undefined) {
        resolve({ kind: 'not-started', why: `${binary} cannot be started: ${toError(error).message}` });
      }
    });
    child.once('close', (exitCode, killedBy) => {
      const text = Buffer.concat(output).toString();
      if (signal.aborted) {
        reject(abortReason(signal));
      } else if (exitCode === null) {
        resolve({ kind: 'killed', signal: killedBy ?? 'a signal', output: text });
      } else {
        resolve({ kind: 'ended', exitCode, output: text });
      }
    });
  });
}
