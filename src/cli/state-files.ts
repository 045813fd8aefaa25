/** The five lists of a Swarm as files: what `interlock snapshot` writes and `interlock render` reads. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Snapshot } from '../model/snapshot.ts';
import { OperationalError, systemCode, toError } from '../runtime/errors.ts';
import { parseNetworks } from '../snapshot/network.ts';
import { parseNodes } from '../snapshot/node.ts';
import { SnapshotParseError } from '../snapshot/parse.ts';
import { parseSecrets } from '../snapshot/secret.ts';
import { parseServices } from '../snapshot/service.ts';
import { buildSnapshot, type SnapshotParts } from '../snapshot/snapshot.ts';
import { parseTasks } from '../snapshot/task.ts';

/** List name -> its parser; the file is `<name>.json`, the call `GET /<name>`. */
const LISTS = {
  services: parseServices,
  tasks: parseTasks,
  networks: parseNetworks,
  nodes: parseNodes,
  secrets: parseSecrets,
} as const;

export type ListName = keyof typeof LISTS;
export const LIST_NAMES = Object.keys(LISTS) as readonly ListName[];

export function fileOf(name: ListName): string {
  return `${name}.json`;
}

/** @throws OperationalError CLI.STATE_UNUSABLE that names every file at fault, and where in it. */
export async function readState(folder: string): Promise<Snapshot> {
  const read = await Promise.all(LIST_NAMES.map((name) => readList(folder, name)));
  const problems = read.flatMap((one) => (one.ok ? [] : [one.problem]));
  if (problems.length > 0) {
    throw new OperationalError('CLI.STATE_UNUSABLE', problems.join('\n'));
  }
  // Every list was read by its own parser, so name and type belong together.
  const parts = Object.fromEntries(read.flatMap((one) => (one.ok ? [[one.name, one.list]] : []))) as unknown;
  return buildSnapshot(parts as SnapshotParts, 0);
}

type ReadList =
  | { readonly ok: true; readonly name: ListName; readonly list: readonly unknown[] }
  | { readonly ok: false; readonly problem: string };

async function readList(folder: string, name: ListName): Promise<ReadList> {
  const path = join(folder, fileOf(name));
  const failed = (what: string): ReadList => ({ ok: false, problem: `${path}: ${what}` });
  const text = await readText(path);
  if (!text.ok) {
    return failed(
      text.missing
        ? `there is no such file. Write what the Engine's GET /${name} returns, [] if that is empty.`
        : text.why,
    );
  }
  const json = parseJson(text.text);
  if (!json.ok) {
    return failed(`not JSON: ${json.why}`);
  }
  try {
    return { ok: true, name, list: LISTS[name](json.value) };
  } catch (error) {
    if (error instanceof SnapshotParseError) {
      return failed(`not what the Engine's GET /${name} returns: ${error.message}`);
    }
    throw error;
  }
}

type Text =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly missing: boolean; readonly why: string };

async function readText(path: string): Promise<Text> {
  try {
    return { ok: true, text: await readFile(path, 'utf8') };
  } catch (error) {
    const missing = systemCode(error) === 'ENOENT';
    return { ok: false, missing, why: `cannot be read: ${toError(error).message}` };
  }
}

function parseJson(
  text: string,
): { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly why: string } {
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    return { ok: false, why: toError(error).message };
  }
}
