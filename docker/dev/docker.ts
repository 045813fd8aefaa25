/** The docker command, bound to one engine. */
import { z } from 'zod';
import { attempt, CommandFailed, type CommandOptions, type CommandResult, run } from './command.ts';

export interface Docker {
  /** In the form of DOCKER_HOST. */
  readonly host: string;
  /** For other programs that are to speak to the same engine. */
  readonly env: NodeJS.ProcessEnv;
  /** stdout of `docker ARGS`; throws CommandFailed with docker's words. */
  run(args: readonly string[], options?: DockerOptions): Promise<string>;
  attempt(args: readonly string[], options?: DockerOptions): Promise<CommandResult>;
  /** stdout as lines, none when it is empty. */
  lines(args: readonly string[]): Promise<readonly string[]>;
}

export type DockerOptions = Pick<CommandOptions, 'onLine'> & {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
};

/** `env` is the caller's: its TLS settings hold for an engine of the caller's own, never for a unix socket. */
export function createDocker(host: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Docker {
  // A context would outrule the host we were told.
  const own: NodeJS.ProcessEnv = { ...env, DOCKER_HOST: host };
  delete own['DOCKER_CONTEXT'];
  if (host.startsWith('unix:')) delete own['DOCKER_TLS_VERIFY'];
  const merged = (options: DockerOptions | undefined): CommandOptions => ({
    signal,
    ...options,
    env: { ...own, ...options?.env },
  });
  return {
    host,
    env: own,
    run: (args, options) => run(['docker', ...args], merged(options)),
    attempt: (args, options) => attempt(['docker', ...args], merged(options)),
    async lines(args) {
      const text = await run(['docker', ...args], merged(undefined));
      return text === '' ? [] : text.split('\n');
    },
  };
}

/** What `docker info` says that we read; a missing engine leaves most of it empty. */
const INFO = z.object({
  ID: z.string().optional(),
  ServerVersion: z.string().optional(),
  OSType: z.string().optional(),
  Swarm: z
    .object({
      LocalNodeState: z.string(),
      ControlAvailable: z.boolean().optional(),
      NodeID: z.string().optional(),
      NodeAddr: z.string().optional(),
      Nodes: z.number().optional(),
    })
    .optional(),
});

export type EngineInfo = z.infer<typeof INFO> & { readonly ID: string };

export type Asked =
  | { readonly kind: 'answers'; readonly info: EngineInfo }
  | { readonly kind: 'silent'; readonly why: string }
  /** The docker command itself is missing. */
  | { readonly kind: 'no-command' };

const ANSWER_MS = 15_000;

export async function askEngine(docker: Docker, signal: AbortSignal): Promise<Asked> {
  const limit = AbortSignal.timeout(ANSWER_MS);
  try {
    const result = await docker.attempt(['info', '--format', '{{json .}}'], {
      signal: AbortSignal.any([signal, limit]),
    });
    const info = parseInfo(result.stdout);
    if (result.code === 0 && info !== undefined) return { kind: 'answers', info };
    return { kind: 'silent', why: reason(result) };
  } catch (error) {
    if (error instanceof CommandFailed && error.missing) return { kind: 'no-command' };
    if (limit.aborted && !signal.aborted) return { kind: 'silent', why: `no answer in ${ANSWER_MS / 1000} s` };
    throw error;
  }
}

function parseInfo(text: string): EngineInfo | undefined {
  try {
    const info = INFO.parse(JSON.parse(text));
    return info.ID === undefined || info.ID === '' ? undefined : { ...info, ID: info.ID };
  } catch {
    // Not JSON: the command could not ask anybody, and its words are on stderr.
    return undefined;
  }
}

const SERVER_ERRORS = z.object({ ServerErrors: z.array(z.string()).nullish() });

function reason({ stdout, stderr }: CommandResult): string {
  if (stderr.trim() !== '') return stderr.trim().split('\n')[0] ?? '';
  try {
    return SERVER_ERRORS.parse(JSON.parse(stdout)).ServerErrors?.[0] ?? 'no answer';
  } catch {
    return 'no answer';
  }
}
