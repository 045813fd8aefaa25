/** A folder of files that appears whole or not at all. */
import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OperationalError, systemCode, toError } from '../runtime/errors.ts';

export interface OutFile {
  /** Relative to the folder, with `/`. */
  readonly path: string;
  readonly bytes: Uint8Array | string;
}

/**
 * The folder may exist when it is empty or holds only what an earlier run left: `isOurs` says so of each entry, by its path; those go.
 * Everything is written to one side first; nothing in the folder changes before all of it is there.
 * @throws OperationalError CLI.OUT_UNUSABLE.
 */
export async function writeOut(
  folder: string,
  files: readonly OutFile[],
  isOurs: (path: string) => Promise<boolean>,
): Promise<void> {
  try {
    const before = await entriesOf(folder);
    for (const entry of before) {
      if (!(await isOurs(join(folder, entry)))) {
        throw unusable(`${folder} holds other things (${entry}): name a new folder, or empty this one.`);
      }
    }
    await mkdir(folder, { recursive: true });
    const staged = await mkdtemp(join(folder, '.interlock-'));
    try {
      await stage(staged, files);
      await Promise.all(before.map((entry) => rm(join(folder, entry), { recursive: true, force: true })));
      for (const entry of await readdir(staged)) {
        await rename(join(staged, entry), join(folder, entry));
      }
    } finally {
      await rm(staged, { recursive: true, force: true });
    }
  } catch (error) {
    throw error instanceof OperationalError
      ? error
      : unusable(`${folder} cannot be written: ${toError(error).message}`);
  }
}

async function stage(folder: string, files: readonly OutFile[]): Promise<void> {
  for (const { path, bytes } of files) {
    const target = join(folder, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, bytes);
  }
}

async function entriesOf(folder: string): Promise<readonly string[]> {
  try {
    if (!(await stat(folder)).isDirectory()) {
      throw unusable(`${folder} is a file: name a folder.`);
    }
    return await readdir(folder);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') {
      return [];
    }
    throw error;
  }
}

function unusable(message: string): OperationalError {
  return new OperationalError('CLI.OUT_UNUSABLE', message);
}
