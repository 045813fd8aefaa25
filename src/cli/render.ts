/** `interlock render`: config.toml and a saved Swarm in, the files that the proxies would serve and all findings out. Needs no engine. */
import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { modelsOf } from '../labels/models.ts';
import type { ClusterModel } from '../model/cluster.ts';
import type { Finding } from '../model/finding.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { renderNginx } from '../render/nginx/render.ts';
import { OperationalError } from '../runtime/errors.ts';
import { definitionOf } from '../settings/cluster-definition.ts';
import type { ExtensionSettings } from '../settings/core-settings.ts';
import { parseNginxOptions } from '../settings/nginx-options.ts';
import { formatProblems } from '../settings/problem.ts';
import { type OutFile, writeOut } from './out-folder.ts';
import { readState } from './state-files.ts';

export interface RenderOptions {
  /** Folder of `services.json`, `tasks.json`, `networks.json`, `nodes.json`, `secrets.json`. */
  readonly statePath: string;
  readonly outPath: string;
  /** `undefined`: all; `''`: the default cluster. */
  readonly cluster: string | undefined;
  /** Exit code 1 for findings at level error. */
  readonly strict: boolean;
}

export interface RenderInput {
  readonly extensions: readonly ExtensionSettings[];
  /** What parsing config.toml had to say. */
  readonly findings: readonly Finding[];
  readonly version: string;
}

export interface CliOutcome {
  readonly exitCode: number;
  /** For standard output; ends with a line break. */
  readonly text: string;
  /** The same for scripts. */
  readonly facts: object;
}

const FINDINGS_FILE = 'findings.json';
const MAIN_FILE = 'nginx.conf';

/** @throws OperationalError CLI.* that says what to do; then nothing was written. */
export async function runRender(
  { statePath, outPath, cluster, strict }: RenderOptions,
  input: RenderInput,
): Promise<CliOutcome> {
  const chosen = chooseExtensions(input.extensions, cluster);
  const snapshot = await readState(statePath);
  const { files, findings } = renderAll(snapshot, chosen, input);
  const all = [...files, { path: FINDINGS_FILE, bytes: `${JSON.stringify(findings, null, 2)}\n` }];
  await writeOut(outPath, all, isEarlierOutput);
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const written = all.map(({ path }) => path);
  return { exitCode: strict && errors > 0 ? 1 : 0, text: summaryOf(written, findings), facts: { written, findings } };
}

async function isEarlierOutput(path: string): Promise<boolean> {
  return basename(path) === FINDINGS_FILE || (await readdir(path).catch((): string[] => [])).includes(MAIN_FILE);
}

/** Every cluster is built, because whether a service's cluster exists depends on all of them; only those chosen are rendered. Pure. */
function renderAll(
  snapshot: Snapshot,
  chosen: readonly ExtensionSettings[],
  { extensions, findings, version }: RenderInput,
): { readonly files: readonly OutFile[]; readonly findings: readonly Finding[] } {
  const routed = modelsOf(snapshot, extensions.map(definitionOf));
  const rendered = routed.built.models
    .filter(({ header }) => chosen.some(({ name }) => name === header.extension))
    .map((model) => renderOne(model, version));
  const clusters = new Set(chosen.map(({ serviceCluster }) => serviceCluster));
  const isAbout = ({ serviceCluster }: Finding) =>
    chosen.length === extensions.length || serviceCluster === undefined || clusters.has(serviceCluster);
  return {
    files: rendered.flatMap((one) => one.files),
    findings: [...findings, ...routed.findings.filter(isAbout), ...rendered.flatMap((one) => one.findings)],
  };
}

/** As the extension does it, from the options that travel with the model. Paths are `<extension>/<file>`. */
export function renderOne(
  model: ClusterModel,
  version: string,
): { files: readonly OutFile[]; findings: readonly Finding[] } {
  const { extension, configPath, optionsJson } = model.header;
  const options = parseNginxOptions(JSON.parse(optionsJson), `Extensions.${extension}.Config`);
  if (!options.ok) {
    throw new OperationalError('SETTINGS.INVALID', formatProblems(options.problems));
  }
  const { artifact, findings } = renderNginx(model, options.options, { serverInfo: `interlock/${version}` });
  const files = artifact.files.map(({ path, bytes }) => ({
    path: `${folderOf(extension)}/${path === configPath ? MAIN_FILE : basename(path)}`,
    bytes,
  }));
  return { files, findings };
}

/** The extension's name, unless it would leave the folder. */
function folderOf(extension: string): string {
  const safe = extension.replaceAll(/[/\\]/g, '_');
  return safe.startsWith('.') ? `_${safe.slice(1)}` : safe;
}

function chooseExtensions(
  extensions: readonly ExtensionSettings[],
  cluster: string | undefined,
): readonly ExtensionSettings[] {
  const chosen = extensions.filter(({ serviceCluster }) => cluster === undefined || serviceCluster === cluster);
  if (chosen.length === 0) {
    const known = extensions.map(({ serviceCluster }) => `"${serviceCluster}"`).join(', ');
    throw new OperationalError(
      'CLI.CLUSTER_UNKNOWN',
      `no extension in config.toml has the ServiceCluster "${cluster ?? ''}". Known: ${known} ("" is the default one).`,
    );
  }
  return chosen;
}

function summaryOf(written: readonly string[], findings: readonly Finding[]): string {
  const lines = findings.map(
    ({ severity, code, service, subject, advice }) =>
      `${severity} ${code}${service === undefined ? '' : ` ${service}`}${subject === undefined ? '' : ` ${subject}`}: ${advice}`,
  );
  return [...lines, ...written.map((path) => `wrote ${path}`), ''].join('\n');
}
