/** Model -> the files it asks for, or why there are none. Pure but for the renderer that is handed in. */
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
  | {
      readonly kind: 'unusable';
      readonly reason: string;
      readonly findings: readonly Finding[];
      /** What the renderer threw: a bug of ours, that must be seen in the log. */
      readonly bug: Error | undefined;
    };

/** Never throws: a renderer that does makes the draft unusable, and the proxies keep the last good file. */
export function draftOf(model: ClusterModel, render: Render, serverInfo: string): Draft {
  const path = `Extensions.${model.header.extension}.Config`;
  const table = readJson(model.header.optionsJson);
  if (!table.ok) {
    return unusable([{ path, found: 'text that is no JSON', expected: 'a table' }], [], model.header);
  }
  const outcome = parseNginxOptions(table.value, path);
  if (!outcome.ok) {
    return unusable(outcome.problems, outcome.findings, model.header);
  }
  try {
    const { artifact, findings } = render(model, outcome.options, { serverInfo });
    return { kind: 'rendered', artifact, findings: [...outcome.findings, ...findings] };
  } catch (error) {
    const bug = toError(error);
    return { kind: 'unusable', reason: `rendering failed: ${bug.message}`, findings: outcome.findings, bug };
  }
}

function unusable(
  problems: readonly SettingsProblem[],
  findings: readonly Finding[],
  { serviceCluster }: ClusterHeader,
): Draft {
  const ours = problems.map(({ path, found, expected }) =>
    createFinding('RENDER.CHECK_FAILED', `Write ${expected}.`, { serviceCluster, subject: path, value: found }),
  );
  return { kind: 'unusable', reason: formatProblems(problems), findings: [...findings, ...ours], bug: undefined };
}

function readJson(text: string): { readonly ok: true; readonly value: unknown } | { readonly ok: false } {
  try {
    return { ok: true, value: text === '' ? undefined : JSON.parse(text) };
  } catch {
    // The text came through the model, so there is nothing to say about it but that it is none.
    return { ok: false };
  }
}
