/** Asks NGINX about a file before it is started with it. */
import { execFile } from 'node:child_process';
import { abortReason } from '../../runtime/clock.ts';
import { withoutTimes } from './complaints.ts';
import { type NginxCommand, nginxArguments } from './process.ts';

/** As long as a reload may take. */
const TIMEOUT_MS = 60_000;

/** `undefined`: NGINX takes it. Else its words. Only while no NGINX of ours runs: the check binds the ports and removes unix sockets. */
export function preflight(command: NginxCommand, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const args = [...nginxArguments(command), '-t'];
    const child = execFile(command.binary, args, { timeout: TIMEOUT_MS, signal }, (error, _stdout, stderr) => {
      if (signal.aborted) {
        reject(abortReason(signal));
      } else {
        resolve(error ? withoutTimes(stderr) || error.message : undefined);
      }
    });
    // A key with a passphrase makes OpenSSL ask for it: nobody answers.
    child.stdin?.end();
  });
}
