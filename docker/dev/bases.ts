/**
 * The two images that ours are built on: named by NODE_BASE and NGINX_BASE, else the official ones, else, when no registry answers,
 * local ones made of Debian packages by docker/bed/debian.sh.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bed } from './bed.ts';
import type { Docker } from './docker.ts';
import { type Report, StepFailure } from './report.ts';
import type { Places } from './state.ts';

export interface Bases {
  readonly node: string;
  readonly nginx: string;
  /** What core and the demo run on; undefined: the Dockerfile's default. */
  readonly core: string | undefined;
  /** Those that were not in the engine before. */
  readonly made: readonly string[];
}

export interface BaseTools {
  readonly places: Places;
  readonly bed: Bed;
  readonly report: Report;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

const LOCAL = { node: 'interlock/node-base:local', nginx: 'interlock/nginx-base:local' } as const;
/** A registry that has not named a single layer by then is taken for none. */
const FIRST_WORD_MS = 20_000;

/** INTERLOCK_BASES=debian asks for the local ones without a look at the registry. */
export async function resolveBases(tools: BaseTools, docker: Docker): Promise<Bases> {
  const { NODE_BASE, NGINX_BASE, INTERLOCK_BASES } = tools.env;
  const official = await defaults(tools.places);
  const wanted = { node: NODE_BASE ?? official.node, nginx: NGINX_BASE ?? official.nginx };
  if (NODE_BASE !== undefined && NGINX_BASE !== undefined) return { ...wanted, core: undefined, made: [] };
  const pulled: string[] = [];
  if (INTERLOCK_BASES !== 'debian') {
    const reached = await pullMissing(tools, docker, Object.values(wanted), pulled);
    if (reached) return { ...wanted, core: undefined, made: pulled };
    tools.report.detail(
      'no registry has them, so the images are built on Debian packages (a download of about 300 MB, once)',
    );
  }
  return {
    ...wanted,
    core: undefined,
    ...(await makeLocal(tools, docker)),
    made: [...pulled, LOCAL.node, LOCAL.nginx],
  };
}

/** Both or none: two bases must be of one release, so an official one does not go with a local one. */
async function makeLocal(tools: BaseTools, docker: Docker): Promise<Partial<Bases>> {
  const { NODE_BASE, NGINX_BASE } = tools.env;
  await tools.bed('debian.sh', 'import', 'node-base', LOCAL.node, '-H', docker.host);
  await tools.bed('debian.sh', 'import', 'nginx-base', LOCAL.nginx, '-H', docker.host);
  return {
    ...(NODE_BASE === undefined ? { node: LOCAL.node } : {}),
    // The local NGINX base has Node too: one base less to carry to every engine.
    ...(NGINX_BASE === undefined ? { nginx: LOCAL.nginx, core: LOCAL.nginx } : {}),
  };
}

/** The ARG lines of the Dockerfile: one place where the defaults stand. */
async function defaults(places: Places): Promise<{ node: string; nginx: string }> {
  const text = await readFile(join(places.root, 'docker/Dockerfile'), 'utf8');
  const value = (name: string) => new RegExp(`^ARG ${name}=(\\S+)$`, 'm').exec(text)?.[1];
  const [node, nginx] = [value('NODE_BASE'), value('NGINX_BASE')];
  if (node === undefined || nginx === undefined) throw new Error('docker/Dockerfile names no default bases');
  return { node, nginx };
}

/** Pulls what the engine lacks. False when one of them cannot be had. `pulled` gets the names as they come. */
async function pullMissing(
  tools: BaseTools,
  docker: Docker,
  images: readonly string[],
  pulled: string[],
): Promise<boolean> {
  for (const image of images) {
    if ((await docker.attempt(['image', 'inspect', '--format', '{{.Id}}', image])).code === 0) continue;
    tools.report.detail(`pulling ${image}`);
    const why = await pull(tools, docker, image);
    if (why !== undefined) {
      tools.report.detail(`it cannot be pulled: ${why}`);
      return false;
    }
    pulled.push(image);
  }
  return true;
}

/** Undefined when it is there, else why not. */
async function pull(tools: BaseTools, docker: Docker, image: string): Promise<string | undefined> {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), FIRST_WORD_MS);
  try {
    const result = await docker.attempt(['pull', image], {
      signal: AbortSignal.any([tools.signal, silence.signal]),
      onLine: () => clearTimeout(timer),
    });
    return result.code === 0 ? undefined : (result.stderr.trim().split('\n').at(-1) ?? 'docker pull failed');
  } catch (error) {
    if (silence.signal.aborted && !tools.signal.aborted)
      return `no word from the registry in ${FIRST_WORD_MS / 1000} s`;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** For the error of a person who named one base and not the other. */
export function checkBaseSettings(env: NodeJS.ProcessEnv): void {
  const bases = env['INTERLOCK_BASES'];
  if (bases !== undefined && bases !== 'debian') {
    throw new StepFailure(
      `INTERLOCK_BASES is '${bases}'`,
      "Unset it, or set it to 'debian': local bases made of Debian packages.",
    );
  }
}
