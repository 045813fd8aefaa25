/** The proxy file that Swarm mounted: that it is there, its bytes, and the one thing in it that decides how NGINX is started. */
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { OperationalError, toError } from '../../runtime/errors.ts';

export type DaemonDirective = 'absent' | 'off' | 'on';

export interface MountedFile {
  /** Unpacked. */
  readonly bytes: Uint8Array;
  /** It was too large for one Docker Config as it is, so core packed it: NGINX cannot read it where it is mounted. */
  readonly packed: boolean;
}

/** A file of 100,000 hosts; a packed one that claims more is no file of ours. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Throws AGENT.CONFIG_MISSING when there is no readable file at `path`. */
export async function readMountedFile(path: string): Promise<MountedFile> {
  try {
    const bytes = await readFile(path);
    return isGzip(bytes)
      ? { bytes: gunzipSync(bytes, { maxOutputLength: MAX_BYTES }), packed: true }
      : { bytes, packed: false };
  } catch (cause) {
    const why = toError(cause).message;
    throw new OperationalError(
      'AGENT.CONFIG_MISSING',
      `no readable proxy configuration at ${path} (${why}); mount it there, or set ProxyConfigPath to where it is mounted`,
      { cause, facts: { path } },
    );
  }
}

/** RFC 1952: the first two bytes. No proxy file begins with them. */
function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Looks for the main-context directive `daemon`. Only this text is looked at: one that hides in an included file
 * comes to light as NGINX's own `"daemon" directive is duplicate`, with file and line, and a failed start.
 */
export function findDaemonDirective(text: string): DaemonDirective {
  const found = /^(?:[^#\n]*[;}\s])?daemon\s+["']?(on|off)["']?\s*;/m.exec(text)?.[1];
  return found === 'on' || found === 'off' ? found : 'absent';
}
