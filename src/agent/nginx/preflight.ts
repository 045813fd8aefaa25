/** Asks NGINX about a file before it is started with it. */
import { spawn } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import { abortReason } from '../../runtime/clock.ts';
import { withoutTimes } from './complaints.ts';
import { type NginxCommand, nginxArguments } from './process.ts';

/** As long as a reload may take. */
const TIMEOUT_MS = 60_000;
const MAX_BYTES = 16 * 1024;

/**
 * `undefined`: NGINX takes it. Else its words, at most 16 KiB, by way of the file at `wordsPath`: the check opens the file's logs too,
 * and `/dev/stderr` cannot be opened when it is a Node pipe, which is a socket.
 * Only while no NGINX of ours runs: the check binds the ports and removes unix sockets.
 */
export async function preflight(
  command: NginxCommand,
  wordsPath: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const words = await open(wordsPath, 'w+');
  try {
    const end = await run(command, words, signal);
    return end === 'taken' ? undefined : withoutTimes(await startOf(words)) || end;
  } finally {
    await words.close();
  }
}

/** `taken`, or how it ended. */
function run(command: NginxCommand, words: FileHandle, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    // No stdin: a key with a passphrase makes OpenSSL ask for it, and nobody answers.
    const child = spawn(command.binary, [...nginxArguments(command), '-t'], {
      stdio: ['ignore', 'ignore', words.fd],
      timeout: TIMEOUT_MS,
      signal,
    });
    child.once('error', (error) => {
      // One that was started closes too, and `close` answers.
      if (child.pid === undefined) {
        reject(signal.aborted ? abortReason(signal) : error);
      }
    });
    child.once('close', (code, killedBy) => {
      if (signal.aborted) {
        reject(abortReason(signal));
      } else {
        resolve(code === 0 ? 'taken' : `nginx -t ended with ${code === null ? String(killedBy) : `code ${code}`}`);
      }
    });
  });
}

async function startOf(words: FileHandle): Promise<string> {
  const { buffer, bytesRead } = await words.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
  return buffer.toString('utf8', 0, bytesRead);
}
