import { sha256Hex } from '../model/revision.ts';

const MAX_SLUG = 16;

/**
 * A short form of an extension's name for the names of Swarm objects: at most 16 of `[a-z0-9-]`. A name that fits stays as it is; any
 * other ends in 4 digits of its hash, so that different names do not meet. The same name gives the same slug on every machine.
 */
export function slugOf(name: string): string {
  const clean = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return clean === name && clean.length <= MAX_SLUG && clean !== ''
    ? clean
    : `${clean.slice(0, MAX_SLUG - 5)}-${sha256Hex(name).slice(0, 4)}`.replace(/^-/, '');
}
