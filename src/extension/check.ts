/** Asks NGINX itself whether it would take the files: `nginx -t`, without a shell, with a time limit, its words bounded. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
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

/**
 * `mainPath` is the file that NGINX is started with. Throws the signal's reason when it aborts. NGINX has been started when this returns:
 * who has something else to do meanwhile does it at the same time.
 */
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
    const folder = makeFolder(tempParents);
    if (folder === undefined) {
      return { kind: 'unavailable', why: `no temporary folder can be made in ${tempParents.join(' or ')}` };
    }
    const places = placesIn(folder);
    try {
      const unwritten = writeFiles(files, places, certificate);
      if (unwritten !== undefined) {
        return unwritten;
      }
      const run = await runNginx(binary, movedMainPath(mainPath, files, places), {
        words: places.words,
        limitMs,
        signal,
      });
      return outcomeOf(run, (words) => realWords(words, files, places));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
}

function makeFolder(parents: readonly string[]): string | undefined {
  for (const parent of parents) {
    try {
      return mkdtempSync(`${parent}/interlock-check-`);
    } catch {
      // Read-only or missing: the next one may do; when none does, the outcome says so.
    }
  }
  return undefined;
}

/** Returns the outcome when the folder cannot take the files, e.g. because it is full. */
function writeFiles(
  files: readonly ArtifactFile[],
  places: CheckPlaces,
  certificate: string,
): CheckOutcome | undefined {
  try {
    mkdirSync(places.cache);
    writeFileSync(places.words, '', { mode: 0o600 });
    writeFileSync(places.certificate, certificate, { mode: 0o600 });
    for (const { path, text } of checkForm(files, places)) {
      writeFileSync(path, text, { mode: 0o600 });
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

interface RunOptions {
  /** An empty file for what NGINX says. */
  readonly words: string;
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

/**
 * NGINX's words go through a file, not a pipe: `access_log /dev/stdout` and `error_log /dev/stderr` are opened by the check too, and a
 * pipe of Node's is a socket, which nobody can open.
 */
async function runNginx(binary: string, path: string, { words, limitMs, signal }: RunOptions): Promise<Run> {
  const file = openSync(words, 'a+');
  try {
    const end = await spawnNginx(binary, path, { words: file, limitMs, signal });
    return end.kind === 'not-started' ? end : { ...end, output: readStart(file) };
  } finally {
    closeSync(file);
  }
}

function readStart(file: number): string {
  const buffer = Buffer.alloc(MAX_OUTPUT_BYTES);
  return buffer.toString('utf8', 0, readSync(file, buffer, 0, MAX_OUTPUT_BYTES, 0));
}

type End =
  | { readonly kind: 'ended'; readonly exitCode: number }
  | { readonly kind: 'killed'; readonly signal: string }
  | { readonly kind: 'not-started'; readonly why: string };

/** `-e stderr`: the error log compiled into NGINX lies on a read-only file system. */
function spawnNginx(
  binary: string,
  path: string,
  { words, limitMs, signal }: { readonly words: number; readonly limitMs: number; readonly signal: AbortSignal },
): Promise<End> {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, ['-t', '-e', 'stderr', '-c', path], {
      stdio: ['ignore', 'ignore', words],
      timeout: limitMs,
      killSignal: 'SIGKILL',
      signal,
    });
    child.once('error', (error) => {
      // A child that could not be started never closes; one that was aborted does, and `close` answers.
      if (child.pid === undefined) {
        resolve({ kind: 'not-started', why: `${binary} cannot be started: ${toError(error).message}` });
      }
    });
    child.once('close', (exitCode, killedBy) => {
      if (signal.aborted) {
        reject(abortReason(signal));
      } else if (exitCode === null) {
        resolve({ kind: 'killed', signal: killedBy ?? 'a signal' });
      } else {
        resolve({ kind: 'ended', exitCode });
      }
    });
  });
}
