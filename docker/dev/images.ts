/**
 * The images of this checkout. In: the files that .dockerignore lets through, and the names of two bases. Out: images in an engine,
 * named `interlock/<target>:dev-<digest of the inputs>` and `:dev`, or all of them in one archive.
 */
import { createHash } from 'node:crypto';
import { access, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { type Bases, resolveBases } from './bases.ts';
import { type Bed, openSocket } from './bed.ts';
import { lastLines } from './command.ts';
import { createDocker, type Docker } from './docker.ts';
import { type Report, StepFailure } from './report.ts';
import type { Places } from './state.ts';

export const TARGETS = ['core', 'extension', 'proxy', 'demo'] as const;
export type Target = (typeof TARGETS)[number];

/** Of an image: its name, and so the digest of what its build read. */
const INPUTS_LABEL = 'com.docker.interlock.inputs';
/** Of the stages that a classic build leaves behind without a name. */
const STAGE_FILTER = 'label=com.docker.interlock.build=stage';

export interface ImageTools {
  readonly places: Places;
  readonly bed: Bed;
  readonly report: Report;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/** The name under which `target` with these inputs goes. */
export type ImageNames = Readonly<Record<Target, string>>;

export async function imageNames(tools: Pick<ImageTools, 'places' | 'env'>): Promise<ImageNames> {
  const bases = `${tools.env['NODE_BASE'] ?? ''}\n${tools.env['NGINX_BASE'] ?? ''}\n`;
  const [all, demo] = await Promise.all([
    digestOf(tools.places.root, await inputs(tools.places.root), bases),
    digestOf(tools.places.root, ['docker/Dockerfile', 'docker/demo/server.js'], bases),
  ]);
  const name = (target: Target) => `interlock/${target}:dev-${(target === 'demo' ? demo : all).slice(0, 12)}`;
  return { core: name('core'), extension: name('extension'), proxy: name('proxy'), demo: name('demo') };
}

/** Those of `names` that the engine does not have. */
export async function missingImages(docker: Docker, names: ImageNames): Promise<readonly Target[]> {
  const found = await docker.lines([
    'image',
    'ls',
    '--filter',
    `label=${INPUTS_LABEL}`,
    '--format',
    '{{.Repository}}:{{.Tag}}',
  ]);
  return TARGETS.filter((target) => !found.includes(names[target]));
}

/** The archive of all four, if it has been made; `imageArchive` makes it. */
export async function findArchive(places: Places, names: ImageNames): Promise<string | undefined> {
  const file = archiveFile(places, names);
  return await access(file).then(
    () => file,
    () => undefined,
  );
}

export async function loadArchive(docker: Docker, file: string): Promise<void> {
  await docker.run(['image', 'load', '--quiet', '--input', file]);
}

export interface Built {
  /** Images that were pulled or imported to build on. */
  readonly bases: readonly string[];
  readonly buildKit: boolean;
}

/** Builds `targets` in the engine, each under both of its names. */
export async function buildImages(
  tools: ImageTools,
  docker: Docker,
  names: ImageNames,
  targets: readonly Target[],
): Promise<Built> {
  if (targets.length === 0) return { bases: [], buildKit: false };
  const bases = await resolveBases(tools, docker);
  const buildKit = (await docker.attempt(['buildx', 'version'])).code === 0;
  await mkdir(join(tools.places.state, 'log'), { recursive: true });
  for (const target of targets) await buildOne(tools, docker, { target, name: names[target], bases, buildKit });
  return { bases: bases.made, buildKit };
}

/** Removes what a classic build leaves behind beside its images. */
export async function pruneStages(docker: Docker): Promise<void> {
  await docker.run(['image', 'prune', '--force', '--filter', STAGE_FILTER]);
}

/** One archive with all images for `docker load`, built in the bed's build engine unless it is there. */
export async function imageArchive(tools: ImageTools): Promise<string> {
  const names = await imageNames(tools);
  const found = await findArchive(tools.places, names);
  if (found !== undefined) return found;
  return await inBuilder(tools, async (docker) => {
    await buildImages(tools, docker, names, await missingImages(docker, names));
    return await save(tools.places, docker, names);
  });
}

async function inBuilder<T>(tools: ImageTools, work: (docker: Docker) => Promise<T>): Promise<T> {
  const ranBefore = (await tools.bed('builder.sh', 'env')).includes('BED_BUILDER_STATE=running');
  const socket = (await tools.bed('builder.sh', 'up')).trim();
  try {
    await openSocket(socket, tools.signal);
    return await work(createDocker(`unix://${socket}`, tools.env, tools.signal));
  } finally {
    if (!ranBefore) await tools.bed('builder.sh', 'down');
  }
}

async function save(places: Places, docker: Docker, names: ImageNames): Promise<string> {
  const file = archiveFile(places, names);
  await mkdir(places.images, { recursive: true });
  const tags = TARGETS.flatMap((target) => [names[target], latestName(target)]);
  for (const target of TARGETS) await docker.run(['image', 'tag', names[target], latestName(target)]);
  await docker.run(['image', 'save', '--output', `${file}.tmp`, ...tags]);
  for (const old of await readdir(places.images)) {
    if (join(places.images, old) !== `${file}.tmp`) await rm(join(places.images, old), { force: true });
  }
  await rename(`${file}.tmp`, file);
  return file;
}

export function latestName(target: Target): string {
  return `interlock/${target}:dev`;
}

function archiveFile(places: Places, names: ImageNames): string {
  const digest = createHash('sha256').update(JSON.stringify(names)).digest('hex');
  return join(places.images, `images-${digest.slice(0, 12)}.tar`);
}

interface Build {
  readonly target: Target;
  readonly name: string;
  readonly bases: Bases;
  readonly buildKit: boolean;
}

async function buildOne(tools: ImageTools, docker: Docker, build: Build): Promise<void> {
  const { target, name, bases, buildKit } = build;
  // The docker driver of the engine itself: another builder would keep the image to itself.
  const command = buildKit ? ['buildx', 'build', '--builder', 'default', '--load', '--progress', 'plain'] : ['build'];
  const startedMs = Date.now();
  tools.report.detail(`building ${name}`);
  const stillBuilding = setInterval(() => {
    tools.report.detail(`building ${name}: ${Math.round((Date.now() - startedMs) / 1000)} s so far`);
  }, 15_000);
  try {
    const result = await docker.attempt(
      [
        ...command,
        ...['--network', 'host', '--file', 'docker/Dockerfile', '--target', target],
        ...['--build-arg', `NODE_BASE=${bases.node}`, '--build-arg', `NGINX_BASE=${bases.nginx}`],
        ...(bases.core === undefined ? [] : ['--build-arg', `CORE_BASE=${bases.core}`]),
        ...['--label', `${INPUTS_LABEL}=${name}`, '--tag', name, '--tag', latestName(target), '.'],
      ],
      { cwd: tools.places.root, env: { DOCKER_BUILDKIT: buildKit ? '1' : '0' } },
    );
    if (result.code !== 0) {
      throw new StepFailure(
        `docker build of ${target}\n${lastLines(`${result.stdout}\n${result.stderr}`, 25)}`,
        'Read the words above. RUN steps need the npm registry; behind an inspecting proxy name bases of your own with NODE_BASE and NGINX_BASE.',
      );
    }
  } finally {
    clearInterval(stillBuilding);
  }
}

/** The paths that .dockerignore lets through: what the Dockerfile can read at all. */
async function inputs(root: string): Promise<readonly string[]> {
  const lines = (await readFile(join(root, '.dockerignore'), 'utf8')).split('\n');
  const entries = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  return (await Promise.all(entries.map((entry) => filesBelow(root, join(root, entry))))).flat();
}

async function filesBelow(root: string, path: string): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [relative(root, path)];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

async function digestOf(root: string, files: readonly string[], salt: string): Promise<string> {
  const hash = createHash('sha256').update(salt);
  for (const file of [...files].sort()) {
    const bytes = await readFile(join(root, file));
    hash.update(`${file}\n${bytes.length}\n`).update(bytes);
  }
  return hash.digest('hex');
}
