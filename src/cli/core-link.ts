/**
 * How a command reaches core, in this order: the address it was given, core's unix socket in this container, or core's container on this
 * machine's engine, where the same command is run.
 */
import { stat } from 'node:fs/promises';
import { type CorePlace, findCore, runInContainer } from '../core/engine/core-container.ts';
import { ERRORS, isOperational, OperationalError } from '../runtime/errors.ts';
import { createWireClient } from '../wire/client.ts';
import type { OperatorCalls } from '../wire/operator.ts';
import { readTlsFiles, type TlsMaterial } from '../wire/tls-files.ts';
import { readToken } from '../wire/token-file.ts';
import { type CliTools, EXIT, UsageError } from './command.ts';
import { engineUrl, HOST_OPTION } from './engine-address.ts';

/** For every command that asks core. */
export const CORE_OPTIONS = {
  endpoint: { type: 'string' },
  'token-file': { type: 'string' },
  core: { type: 'string' },
  ...HOST_OPTION,
} as const;

/** Their lines in a command's help. */
export const CORE_HELP = `Where core is (default: the one on this machine)
  --endpoint HOST:PORT   its gRPC API, from a machine on its network; with --token-file
  --token-file FILE      an operator's token
  -H, --host URL         the engine that runs core (default: $DOCKER_HOST, else unix:///var/run/docker.sock)
  --core SERVICE         the service of the core that is meant, where several run on one machine
`;

const SOCKET = '/run/interlock/operator.sock';

export interface CoreValues {
  readonly endpoint?: string | undefined;
  readonly 'token-file'?: string | undefined;
  readonly core?: string | undefined;
  readonly host?: string | undefined;
}

/**
 * Hands `act` a connection and returns its exit code; or runs the command in core's container and returns that one's.
 * `EXIT.unavailable`, with words on standard error, when core cannot be reached. @throws UsageError, and what `act` throws otherwise.
 */
export async function withCore(
  values: CoreValues,
  tools: CliTools,
  act: (core: OperatorCalls) => Promise<number>,
): Promise<number> {
  try {
    const address = await addressOf(values, tools);
    return address === undefined
      ? await inContainer(values, tools)
      : await connected(address, values['token-file'], tools, act);
  } catch (error) {
    if (isOperational(error, 'WIRE.UNREACHABLE', 'ENGINE.UNREACHABLE', 'CLI.CORE_NOT_FOUND')) {
      tools.stderr.write(`${error.message}\n${ERRORS[error.code].todo}\n`);
      return EXIT.unavailable;
    }
    throw error;
  }
}

/** `undefined`: no socket here. */
async function addressOf({ endpoint, 'token-file': tokenFile }: CoreValues, { env }: CliTools) {
  if (endpoint !== undefined) {
    const port = /^\S+:(\d{1,5})$/.exec(endpoint)?.[1];
    if (port === undefined || Number(port) > 65_535) {
      throw new UsageError('--endpoint takes HOST:PORT');
    }
    return endpoint;
  }
  if (tokenFile !== undefined) {
    throw new UsageError('--token-file goes with --endpoint');
  }
  const path = env['INTERLOCK_OPERATOR_SOCKET'] ?? SOCKET;
  const found = await stat(path).catch(() => undefined);
  return found?.isSocket() === true ? `unix:${path}` : undefined;
}

async function connected(
  endpoint: string,
  tokenFile: string | undefined,
  { version, env }: CliTools,
  act: (core: OperatorCalls) => Promise<number>,
): Promise<number> {
  const token = tokenFile === undefined ? undefined : await readToken(tokenFile);
  if (tokenFile !== undefined && token === undefined) {
    throw new UsageError(`${tokenFile} holds no token that can be read`);
  }
  const client = createWireClient({
    endpoint,
    identity: { role: 'operator', version, token },
    tls: tlsOf(endpoint, env),
  });
  try {
    return await act(client.operator);
  } finally {
    client.close();
  }
}

/** Where core asks for mutual TLS; never on its own socket. */
function tlsOf(endpoint: string, env: CliTools['env']): TlsMaterial | undefined {
  const [certPath, keyPath, caPath] = [env['INTERLOCK_TLS_CERT'], env['INTERLOCK_TLS_KEY'], env['INTERLOCK_TLS_CA']];
  return endpoint.startsWith('unix:') || certPath === undefined || keyPath === undefined || caPath === undefined
    ? undefined
    : readTlsFiles({ certPath, keyPath, caPath });
}

async function inContainer({ host, core }: CoreValues, { env, argv, signal, stdout, stderr }: CliTools) {
  const url = engineUrl(host, env);
  const place = await findCore(url, core);
  if (place.kind !== 'here') {
    throw new OperationalError('CLI.CORE_NOT_FOUND', wordsOf(place));
  }
  const command = {
    argv: ['interlock', ...withoutPlace(argv)],
    env: env['NO_COLOR'] === undefined ? [] : [`NO_COLOR=${env['NO_COLOR']}`],
    columns: stdout.isTerminal ? stdout.columns : undefined,
  };
  const out = { stdout: (text: string) => stdout.write(text), stderr: (text: string) => stderr.write(text) };
  return runInContainer(url, place.containerId, command, out, signal);
}

/** In the container the engine is another one's business: there is the socket. */
function withoutPlace(argv: readonly string[]): readonly string[] {
  return argv.filter((word, at) => !isPlace(word) && !isPlaceName(argv[at - 1] ?? ''));
}

function isPlace(word: string): boolean {
  return /^(?:--host|--core|-H)(?:=|$)/.test(word) || /^-H./.test(word);
}

function isPlaceName(word: string): boolean {
  return word === '--host' || word === '--core' || word === '-H';
}

function wordsOf(place: Exclude<CorePlace, { kind: 'here' }>): string {
  switch (place.kind) {
    case 'elsewhere':
      return `core runs on the node ${place.node}: run this command there`;
    case 'several':
      return `several cores run here; choose one with --core: ${place.services.join(', ')}`;
    case 'nowhere':
      return `no container of core runs on this engine, and no socket is at ${SOCKET}: ${place.why}`;
  }
}
