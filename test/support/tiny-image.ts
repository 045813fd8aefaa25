/** The smallest image whose tasks stay up: this machine's own `sleep` with the libraries it needs, as a tar for `docker import`. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The command of a task that lives until it is stopped. */
export const TINY_COMMAND = ['/bin/sleep', '100000'] as const;

export interface TinyImage {
  /** A root filesystem as .tar, about 2 MB. */
  readonly archive: string;
  remove(): Promise<void>;
}

export async function buildTinyImage(): Promise<TinyImage> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tiny-image-'));
  const archive = path.join(folder, 'root.tar');
  const { stdout } = await run('ldd', ['/bin/sleep']);
  const libraries = [...stdout.matchAll(/(\/[^\s:]+)/g)].map(([file]) => file);
  // -h: libraries are links to their versions; the task needs the files.
  await run('tar', ['-chf', archive, '-C', '/', ...['/bin/sleep', ...libraries].map((file) => file.slice(1))]);
  return { archive, remove: () => rm(folder, { recursive: true, force: true }) };
}
