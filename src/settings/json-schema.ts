/**
 * The JSON Schema of config.toml, for editors: made of the tables that core reads the file with, so the two cannot part.
 * It is never tighter than core but for the spelling of keys, which core takes in any case, and blanks around values.
 */
import type { z } from 'zod';
import { CORE_SCHEMA, EXTENSION_SCHEMA, GRPC_SCHEMA } from './core-schema.ts';
import { type KeyMeta, keyMetas } from './key-table.ts';
import { NGINX_SCHEMA } from './nginx-options.ts';
import { anyOf, type JsonShape } from './value-kind.ts';
import { type TableName, WAITING_KEYS } from './waiting-keys.ts';

/** Draft 2020-12. Pure data; the same on every machine. */
export function configSchema(): JsonShape {
  const extension = tableShape(EXTENSION_SCHEMA, 'extension', { Config: tableShape(NGINX_SCHEMA, 'nginx', {}) });
  const extensions = { type: 'object', minProperties: 1, additionalProperties: extension };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'config.toml of Interlock for Docker Swarm',
    ...tableShape(CORE_SCHEMA, 'core', { GRPC: tableShape(GRPC_SCHEMA, undefined, {}), Extensions: extensions }),
    required: ['Extensions'],
  };
}

/** `tables`: the shapes of keys that are tables with keys of their own. */
function tableShape(
  schema: z.ZodObject,
  table: TableName | undefined,
  tables: Readonly<Record<string, JsonShape>>,
): JsonShape {
  const properties = keyMetas(schema).map(([name, meta]) => [
    name,
    keyShape(name, meta, { table, inner: tables[name] }),
  ]);
  return { type: 'object', properties: Object.fromEntries(properties), additionalProperties: false };
}

function keyShape(
  name: string,
  meta: KeyMeta,
  { table, inner }: { readonly table: TableName | undefined; readonly inner: JsonShape | undefined },
): JsonShape {
  const fallback = defaultOf(meta);
  const waiting = WAITING_KEYS.find((entry) => entry.table === table && entry.key === name);
  return {
    description: describe(meta, waiting?.advice),
    ...(fallback === undefined ? {} : { default: fallback }),
    ...(waiting === undefined || waiting.values !== undefined ? {} : { deprecated: true }),
    // Core takes an empty text for a missing key, as the original's files have it; tables are there or not.
    ...(inner ?? anyOf(meta.shape, { const: '' })),
  };
}

function describe({ description, shownDefault, type }: KeyMeta, advice: string | undefined): string {
  return [description, `Type: ${type}. Default: ${shownDefault}.`, advice]
    .filter((part) => part !== undefined)
    .join('\n');
}

/** As it would stand in the file, where the docs show it as a value and not as words. */
function defaultOf({ shownDefault }: KeyMeta): unknown {
  try {
    return JSON.parse(/^`(.*)`$/.exec(shownDefault)?.[1] ?? '') as unknown;
  } catch {
    return undefined;
  }
}
