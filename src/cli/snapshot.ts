/** `interlock snapshot`: the lists of a live Swarm to files, for `interlock render`, for tests and for a bug report. */
import { basename } from 'node:path';
import { writeOut } from './out-folder.ts';
import type { CliOutcome } from './render.ts';
import { fileOf, LIST_NAMES, type ListName } from './state-files.ts';

/** Each list as the Engine prints it, less what must not be saved. */
export type ReadLists = (signal: AbortSignal) => Promise<Readonly<Record<ListName, readonly unknown[]>>>;

/** @throws OperationalError CLI.OUT_UNUSABLE or what `readLists` throws; then nothing was written. */
export async function runSnapshot(outPath: string, readLists: ReadLists, signal: AbortSignal): Promise<CliOutcome> {
  const lists = await readLists(signal);
  const files = LIST_NAMES.map((name) => ({ path: fileOf(name), bytes: `${JSON.stringify(lists[name], null, 2)}\n` }));
  await writeOut(outPath, files, (path) => Promise.resolve(LIST_NAMES.some((name) => basename(path) === fileOf(name))));
  const written = LIST_NAMES.map((name) => ({ file: fileOf(name), objects: lists[name].length }));
  const counts = written.map(({ file, objects }) => `wrote ${file} (${objects})`);
  return { exitCode: 0, text: [...counts, ''].join('\n'), facts: { written } };
}
