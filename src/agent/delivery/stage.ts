/**
 * The file NGINX runs from, in the agent's own folder: exchanged as a whole, with the one before kept until the new one is applied.
 * The folder stands in for the one of ProxyConfigPath: links to everything else in there keep relative paths of raw lines working
 * (NGINX looks for `include mime.types` beside its main file).
 */
import { link, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { systemCode } from '../../runtime/errors.ts';

export interface Stage {
  /** What NGINX gets with `-c`. */
  readonly path: string;
  /** Puts the bytes in place; what was there is kept aside. Throws what the file system says, and then nothing has changed. */
  put(bytes: Uint8Array): Promise<void>;
  /** The last `put` holds: what was there before goes. */
  keep(): Promise<void>;
  /** Takes the last `put` back, so that a reload by anybody else reads what is served. */
  takeBack(): Promise<void>;
}

/** Makes the folder `<directory>/conf` anew. */
export async function openStage(directory: string, configPath: string): Promise<Stage> {
  const folder = join(directory, 'conf');
  const path = join(folder, basename(configPath));
  const next = `${path}.next`;
  const last = `${path}.last`;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await linkSiblings(configPath, folder);
  return {
    path,
    async put(bytes) {
      await rm(next, { force: true });
      try {
        await writeFile(next, bytes, { mode: 0o444 });
        await rm(last, { force: true });
        await linkIfThere(path, last);
        await rename(next, path);
      } catch (error) {
        await rm(next, { force: true });
        throw error;
      }
    },
    keep: () => rm(last, { force: true }),
    takeBack: () => rename(last, path),
  };
}

async function linkSiblings(configPath: string, folder: string): Promise<void> {
  const from = dirname(configPath);
  // The mounted file alone may be all there is, and a folder that is missing has nothing to offer.
  const names = await readdir(from).catch(() => []);
  for (const name of names.filter((each) => each !== basename(configPath))) {
    await symlink(join(from, name), join(folder, name));
  }
}

async function linkIfThere(path: string, last: string): Promise<void> {
  try {
    await link(path, last);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') {
      throw error;
    }
  }
}
