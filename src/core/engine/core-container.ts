/**
 * Core's container, for the command line on a manager's host: where it runs, and a command run in it, as `docker exec` would. Comes in:
 * an engine's address. Goes out: a place, or what the command wrote and its exit code.
 */
import { PassThrough } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import Docker from 'dockerode';
import { OperationalError, toError } from '../../runtime/errors.ts';
import { parseContainers, parseExecEnd, parseServiceEnvironments } from '../../snapshot/engine-objects.ts';
import { parseNode } from '../../snapshot/node.ts';
import { parseTasks } from '../../snapshot/task.ts';
import { dialOptions } from './docker-url.ts';

export type CorePlace =
  | { readonly kind: 'here'; readonly containerId: string }
  /** Host name of the node that runs it. */
  | { readonly kind: 'elsewhere'; readonly node: string }
  /** Several cores run on this engine: names of their services. */
  | { readonly kind: 'several'; readonly services: readonly string[] }
  | { readonly kind: 'nowhere'; readonly why: string };

/** What docker/Dockerfile writes on the image, and so the engine on each container of it. */
const TITLE = 'org.opencontainers.image.title=interlock/core';
const SERVICE = 'com.docker.swarm.service.name';

/** `service`: the one to choose where several cores run. @throws OperationalError ENGINE.UNREACHABLE. */
export async function findCore(dockerUrl: string, service: string | undefined): Promise<CorePlace> {
  const docker = new Docker(dialOptions(dockerUrl, undefined));
  const filters = { label: [TITLE], status: ['running'] };
  const found = parseContainers(await asked(dockerUrl, () => docker.listContainers({ filters }))).filter(
    ({ labels }) => service === undefined || labels[SERVICE] === service,
  );
  const [only] = found;
  if (only === undefined) {
    return elsewhere(docker, service);
  }
  return found.length === 1
    ? { kind: 'here', containerId: only.id }
    : { kind: 'several', services: found.map(({ labels, id }) => labels[SERVICE] ?? id.slice(0, 12)).sort() };
}

/** The extensions that a core made know its address: `tasks.<service of core>:<port>`. */
async function elsewhere(docker: Docker, service: string | undefined): Promise<CorePlace> {
  const nowhere = (why: string): CorePlace => ({ kind: 'nowhere', why });
  try {
    const name = service ?? (await coreService(docker));
    if (name === undefined) {
      return nowhere('this Swarm has no service that a core made');
    }
    const filters = { service: [name], 'desired-state': ['running'] };
    const task = parseTasks(await docker.listTasks({ filters })).find(({ state }) => state === 'running');
    if (task?.nodeId === undefined) {
      return nowhere(`no task of the service ${name} runs: docker service ps ${name}`);
    }
    const { hostname } = parseNode(await docker.getNode(task.nodeId).inspect());
    return { kind: 'elsewhere', node: hostname === '' ? task.nodeId : hostname };
  } catch (error) {
    // A worker's engine cannot say; dockerode's words are the engine's.
    return nowhere(toError(error).message);
  }
}

async function coreService(docker: Docker): Promise<string | undefined> {
  const filters = { label: ['type=com.docker.interlock.core.extension'] };
  const environments = parseServiceEnvironments(await docker.listServices({ filters }));
  return environments.flat().flatMap((entry) => /^INTERLOCK_ENDPOINT=tasks\.(.+):\d+$/.exec(entry)?.[1] ?? [])[0];
}

export interface ContainerCommand {
  readonly argv: readonly string[];
  /** `NAME=value`. */
  readonly env: readonly string[];
  /** A terminal of so many columns; `undefined`: none. */
  readonly columns: number | undefined;
}

/** Set for a command that runs in core's container on behalf of one outside: it ends when its standard input does. */
export const ENDS_WITH_STDIN = 'INTERLOCK_ENDS_WITH_STDIN';

/**
 * Runs it and hands its words on as they come. An abort of the signal ends it as Ctrl-C would.
 * @returns its exit code. @throws OperationalError ENGINE.UNREACHABLE.
 */
export async function runInContainer(
  dockerUrl: string,
  containerId: string,
  { argv, env, columns }: ContainerCommand,
  out: { readonly stdout: (text: string) => void; readonly stderr: (text: string) => void },
  signal: AbortSignal,
): Promise<number> {
  const docker = new Docker(dialOptions(dockerUrl, undefined));
  const terminal = columns !== undefined;
  return asked(dockerUrl, async () => {
    const exec = await docker.getContainer(containerId).exec({
      Cmd: [...argv],
      Env: [...env, `${ENDS_WITH_STDIN}=1`],
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      Tty: terminal,
    });
    const stream = await exec.start({ hijack: true, stdin: true, Tty: terminal });
    if (terminal) {
      // Nothing is lost when it fails but the width.
      await exec.resize({ h: 50, w: columns }).catch(() => undefined);
    }
    const stop = (): void => {
      stream.write('\x03');
      stream.end();
    };
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) {
      stop();
    }
    const stdout = textTo(out.stdout);
    const stderr = textTo(out.stderr);
    if (terminal) {
      stream.pipe(stdout);
    } else {
      docker.modem.demuxStream(stream, stdout, stderr);
    }
    try {
      await new Promise<void>((resolve, reject) => {
        stream.on('end', resolve);
        stream.on('close', resolve);
        stream.on('error', reject);
      });
    } finally {
      signal.removeEventListener('abort', stop);
    }
    return parseExecEnd(await exec.inspect()) ?? 1;
  });
}

/** A character may come in two pieces. */
function textTo(write: (text: string) => void): PassThrough {
  const decoder = new StringDecoder('utf8');
  const stream = new PassThrough();
  stream.on('data', (bytes: Buffer) => write(decoder.write(bytes)));
  return stream;
}

async function asked<Answer>(dockerUrl: string, ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (cause) {
    throw new OperationalError('ENGINE.UNREACHABLE', `the engine at ${dockerUrl}: ${toError(cause).message}`, {
      cause,
    });
  }
}
