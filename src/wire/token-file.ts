/** The token of a daemon: a Docker secret that core makes and attaches, mounted as a file. */
import { open } from 'node:fs/promises';
import type { Logger } from '../runtime/logging.ts';

const MAX_BYTES = 256;

/**
 * The text of the token without surrounding white space; `undefined` when there is no such file, or when it holds no token: 16 to 256
 * characters of base64url. Never throws: who lacks a token is told so by core.
 */
export async function readToken(path: string): Promise<string | undefined> {
  const text = await readStart(path).catch(() => undefined);
  return text !== undefined && /^[A-Za-z0-9_-]{16,256}$/.test(text.trim()) ? text.trim() : undefined;
}

/**
 * Reads the file anew at each call, for `WireClientOptions.token`. A missing token is told of once, until there is one again: a core
 * of an older version attaches none, and asks for none.
 */
export function createTokenSource(path: string, logger: Logger): () => Promise<string | undefined> {
  let missing = false;
  return async () => {
    const token = await readToken(path);
    if (token === undefined && !missing) {
      logger.warn({ path }, 'no token in this file; trying without one, and looking again at each attempt');
    } else if (token !== undefined && missing) {
      logger.info({ path }, 'token found');
    }
    missing = token === undefined;
    return token;
  };
}

/** One byte more than fits, so that what is too long is seen; whatever the path leads to, no more is read. */
async function readStart(path: string): Promise<string> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES + 2), 0, MAX_BYTES + 2, 0);
  return buffer.subarray(0, bytesRead).toString('latin1');
}
