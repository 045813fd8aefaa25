/** Fits a file to this proxy task: what the task lacks harms only what needs it. Comes in: core's bytes. Goes out: NGINX's. */
import type { Finding } from '../../model/finding.ts';

export interface Fitted {
  /** The very same object when nothing had to be changed. */
  readonly bytes: Uint8Array;
  /** The beginning of the text: the main context, where `daemon` would stand. */
  readonly head: string;
  readonly findings: readonly Finding[];
}

/** Enough for every directive of the main context that stands before `http`. */
const HEAD_BYTES = 64 * 1024;

export function fitFile(bytes: Uint8Array): Fitted {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { bytes, head: buffer.toString('utf8', 0, HEAD_BYTES), findings: [] };
}
