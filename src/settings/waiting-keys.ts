/**
 * The keys that are read and checked but have no effect in this version. Taking an entry out is all that switching a key on takes here.
 * An operator who sets one to something else than its default is told so by a finding.
 */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { createFinding, type Finding } from '../model/finding.ts';
import type { WrittenKeys } from './key-table.ts';

export type TableName = 'core' | 'extension' | 'nginx';

interface WaitingKey {
  readonly table: TableName;
  readonly key: string;
  readonly advice: string;
  /** The values that wait; missing: every value but the default. */
  readonly values?: readonly unknown[];
}

const NEVER_DID = 'Accepted; without effect, as in the original. Remove it.';
const NO_CONFIG_SERVICE = "Not needed: the agent in the proxy's container does what the config service did. Remove it.";

export const WAITING_KEYS: readonly WaitingKey[] = [
  {
    table: 'extension',
    key: 'Template',
    advice:
      "The original's Go templates do not run here. Use GlobalOptions, HTTPOptions and TCPOptions in Config instead.",
  },
  { table: 'extension', key: 'ConfigImage', advice: NO_CONFIG_SERVICE },
  { table: 'extension', key: 'ConfigServiceName', advice: NO_CONFIG_SERVICE },
  { table: 'nginx', key: 'AdminUser', advice: NEVER_DID },
  { table: 'nginx', key: 'AdminPass', advice: NEVER_DID },
  { table: 'nginx', key: 'SSLOpts', advice: NEVER_DID },
  { table: 'nginx', key: 'SSLVerify', advice: NEVER_DID },
];

/** Whether the docs mark the key as waiting. */
export function isWaiting(table: TableName, key: string): boolean {
  return WAITING_KEYS.some((entry) => entry.table === table && entry.key === key);
}

/** One finding per waiting key that the operator set. `values` are the table's parsed values, `schema` knows the defaults. */
export function findWaitingKeys<Shape extends z.core.$ZodShape>(
  table: TableName,
  schema: z.ZodObject<Shape>,
  reading: { readonly values: Readonly<Record<string, unknown>>; readonly written: WrittenKeys },
): readonly Finding[] {
  return WAITING_KEYS.filter((entry) => entry.table === table).flatMap((entry) => {
    const written = reading.written.get(entry.key);
    const value = reading.values[entry.key];
    return written === undefined || !waits(entry, value, defaultOf(schema, entry.key))
      ? []
      : [createFinding('SETTINGS.NOT_IN_EFFECT', entry.advice, { subject: written.path })];
  });
}

function waits(entry: WaitingKey, value: unknown, fallback: unknown): boolean {
  return entry.values === undefined ? !isDeepStrictEqual(value, fallback) : entry.values.includes(value);
}

function defaultOf<Shape extends z.core.$ZodShape>(schema: z.ZodObject<Shape>, name: string): unknown {
  const field: z.core.$ZodType | undefined = schema.shape[name];
  return field === undefined ? undefined : z.parse(field, undefined);
}
