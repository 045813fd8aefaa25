/** Which NGINX this is, and what an old one lacks. */
import { execFile } from 'node:child_process';
import { OperationalError } from '../../runtime/errors.ts';

export type NginxVersion = readonly [major: number, minor: number, patch: number];

/** `keepalive_min_timeout` came with 1.27.4; 1.28.0 is the first stable release that has it. */
export const OLDEST_FULLY_SUPPORTED: NginxVersion = [1, 28, 0];

/** Asks `binary -v`. `undefined`: it answered with something else. Throws AGENT.NGINX_MISSING when it cannot be run. */
export function readNginxVersion(binary: string): Promise<NginxVersion | undefined> {
  return new Promise((resolve, reject) => {
    execFile(binary, ['-v'], { timeout: 10_000 }, (error, stdout, stderr) => {
      // A string is the spawn's own failure (ENOENT, EACCES); a number is the exit code of something that ran.
      if (error && typeof error.code === 'string') {
        const facts = { binary };
        reject(
          new OperationalError('AGENT.NGINX_MISSING', `NGINX cannot be run as ${binary}`, { cause: error, facts }),
        );
        return;
      }
      resolve(parseNginxVersion(`${stdout}${stderr}`));
    });
  });
}

/** From the words of `nginx -v`: `nginx version: nginx/1.30.6 (Ubuntu)`. Builds by others may name their own version; NGINX's is looked for first. */
export function parseNginxVersion(words: string): NginxVersion | undefined {
  const found = /\bnginx\/(\d+)\.(\d+)\.(\d+)/.exec(words) ?? /\/(\d+)\.(\d+)\.(\d+)/.exec(words);
  return found ? [Number(found[1]), Number(found[2]), Number(found[3])] : undefined;
}

/** Whether `version` lacks what a file written for current NGINX may use. */
export function isTooOld(version: NginxVersion): boolean {
  for (const [index, wanted] of OLDEST_FULLY_SUPPORTED.entries()) {
    const had = version[index] ?? 0;
    if (had !== wanted) {
      return had < wanted;
    }
  }
  return false;
}
