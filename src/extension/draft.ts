/** Model -> the file it asks for, or why there is none. Pure but for the renderer that is handed in. */
import type { ConfigArtifact } from '../model/artifact.ts';
import type { ClusterHeader, ClusterModel } from '../model/cluster.ts';
import { createFinding, type Finding } from '../model/finding.ts';
import { toError } from '../runtime/errors.ts';
import { type NginxOptions, parseNginxOptions } from '../settings/nginx-options.ts';
import { formatProblems, type SettingsProblem } from '../settings/problem.ts';

/** The renderer of one proxy. Equal input gives equal bytes. */
export type Render = (
  model: ClusterModel,
  options: NginxOptions,
  context: { readonly serverInfo: string },
) => { readonly artifact: ConfigArtifact; readonly findings: readonly Finding[] };

export type Draft =
  | { readonly kind: 'rendered'; readonly artifact: ConfigArtifact; readonly findings: readonly Finding[] }
  /** What the renderer threw: a bug of ours, that must be seen in the log. */
  | { readonly kind: 'broken'; readonly bug: Error };

/** Never throws: a renderer that does harms only what made it throw. */
export function draftOf(model: ClusterModel, options: NginxOptions, render: Render, serverInfo: string): Draft {
  try {
    return { kind: 'rendered', ...render(model, options, { serverInfo }) };
  } catch (error) {
    return { kind: 'broken', bug: toError(error) };
  }
}

export type HeaderOptions =
  | { readonly kind: 'options'; readonly options: NginxOptions; readonly findings: readonly Finding[] }
  | { readonly kind: 'unusable'; readonly reason: string; readonly findings: readonly Finding[] };

/** The same header comes with model after model, and the renderer knows what it has printed by the options' object. */
const read = new WeakMap<ClusterHeader, HeaderOptions>();

/** The `Config` table that came with the model. The same object for the same header. */
export function optionsOf(header: ClusterHeader): HeaderOptions {
  const known = read.get(header) ?? readOptions(header);
  read.set(header, known);
  return known;
}

function readOptions(header: ClusterHeader): HeaderOptions {
  const path = configPathOf(header);
  const table = readJson(header.optionsJson);
  if (!table.ok) {
    return unusable([{ path, found: 'text that is no JSON', expected: 'a table' }], [], header);
  }
  const outcome = parseNginxOptions(table.value, path);
  return outcome.ok
    ? { kind: 'options', options: outcome.options, findings: outcome.findings }
    : unusable(outcome.problems, outcome.findings, header);
}

/** The table's path in config.toml. */
export function configPathOf({ extension }: ClusterHeader): string {
  return `Extensions.${extension}.Config`;
}

function unusable(
  problems: readonly SettingsProblem[],
  findings: readonly Finding[],
  { serviceCluster }: ClusterHeader,
): HeaderOptions {
  const ours = problems.map(({ path, found, expected }) =>
    createFinding('RENDER.CHECK_FAILED', `Write ${expected}.`, { serviceCluster, subject: path, value: found }),
  );
  return { kind: 'unusable', reason: formatProblems(problems), findings: [...findings, ...ours] };
}

function readJson(text: string): { readonly ok: true; readonly value: unknown } | { readonly ok: false } {
  try {
    return { ok: true, value: text === '' ? undefined : JSON.parse(text) };
  } catch {
    // The text came through the model, so there is nothing to say about it but that it is none.
    return { ok: false };
  }
}
