/** The folders NGINX writes to. Swarm mounts them as tmpfs; an image run by hand may lack them. */
import { mkdir, stat } from 'node:fs/promises';
import type { Logger } from '../../runtime/logging.ts';

/** NGINX makes the last folder of a temp path itself, never the ones above it. */
export const WRITABLE_DIRECTORIES: readonly string[] = ['/run', '/var/cache/nginx'];

/** Makes those that are missing. One that cannot be made is a warning: only NGINX knows whether the file needs it. */
export async function makeMissingDirectories(paths: readonly string[], logger: Logger): Promise<void> {
  for (const path of paths) {
    try {
      await stat(path);
    } catch {
      await makeDirectory(path, logger);
    }
  }
}

async function makeDirectory(path: string, logger: Logger): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
    logger.info({ path }, 'made a folder that was missing');
  } catch (err) {
    logger.warn({ path, err }, 'a folder is missing and cannot be made; mount a tmpfs there if NGINX asks for it');
  }
}
