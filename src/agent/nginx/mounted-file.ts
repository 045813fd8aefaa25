/** The proxy file that Swarm mounted: that it is there, and the one thing in it that decides how NGINX is started. */
import { readFile } from 'node:fs/promises';
import { OperationalError, toError } from '../../runtime/errors.ts';

export type DaemonDirective = 'absent' | 'off' | 'on';

export interface MountedFile {
  readonly sizeBytes: number;
  /** What the file itself says about `daemon`; a second one on the command line is an error to NGINX. */
  readonly daemon: DaemonDirective;
}

/** Throws AGENT.CONFIG_MISSING when there is no readable file at `path`. */
export async function readMountedFile(path: string): Promise<MountedFile> {
  try {
    const text = await readFile(path, 'utf8');
    return { sizeBytes: Buffer.byteLength(text), daemon: findDaemonDirective(text) };
  } catch (cause) {
    const why = toError(cause).message;
    throw new OperationalError(
      'AGENT.CONFIG_MISSING',
      `no readable proxy configuration at ${path} (${why}); mount it there, or set ProxyConfigPath to where it is mounted`,
      { cause, facts: { path } },
    );
  }
}

/**
 * Looks for the main-context directive `daemon`. Only this text is looked at: one that hides in an included file
 * comes to light as NGINX's own `"daemon" directive is duplicate`, with file and line, and a failed start.
 */
export function findDaemonDirective(text: string): DaemonDirective {
  const found = /^(?:[^#\n]*[;}\s])?daemon\s+["']?(on|off)["']?\s*;/m.exec(text)?.[1];
  return found === 'on' || found === 'off' ? found : 'absent';
}
