/** The two kinds of thrown errors: operational ones with a code and facts, and bugs that end the process. */
import { inspect } from 'node:util';

/** What a caller may do about it. `conflict`: read again and plan again, do not repeat the write. */
export type ErrorClass = 'retryable' | 'permanent' | 'conflict';

/** Stable codes; `docs/codes.md` is generated from this table. `todo` is for the person who reads the log. */
export const ERRORS = {
  'ENGINE.UNREACHABLE': { class: 'retryable', todo: 'Check that DockerURL is right and that the Docker engine runs.' },
  'ENGINE.NOT_A_MANAGER': { class: 'retryable', todo: 'Run core on a Swarm manager (constraint node.role==manager).' },
  'ENGINE.OUT_OF_SEQUENCE': { class: 'conflict', todo: 'None: somebody else wrote first; core reads and plans again.' },
  'ENGINE.NAME_TAKEN': { class: 'conflict', todo: 'Rename or remove the object that has this name.' },
  'ENGINE.NOT_FOUND': { class: 'conflict', todo: 'None: the object is gone; core reads and plans again.' },
  'ENGINE.IN_USE': { class: 'conflict', todo: 'None: the object is still referred to; core tries again later.' },
  'ENGINE.REFUSED': {
    class: 'permanent',
    todo: "Read the engine's words; a value in config.toml or a label is not acceptable to it.",
  },
  'ENGINE.FAILED': {
    class: 'retryable',
    todo: "Read the engine's words; the managers may be without a leader. Core tries again.",
  },
  'ENGINE.BROKEN_ANSWER': {
    class: 'retryable',
    todo: "Report it with the engine's version: its answer does not have the documented shape.",
  },
  'FEED.LOST': {
    class: 'retryable',
    todo: 'None: core polls meanwhile and comes back to the watch by itself. The message says what is in the way.',
  },
  'SETTINGS.INVALID': { class: 'permanent', todo: 'Correct the keys that the message names, then start again.' },
  'SETTINGS.UNREADABLE': {
    class: 'permanent',
    todo: 'Check that the file given with -c exists in the container and is readable.',
  },
  'WIRE.UNREACHABLE': {
    class: 'retryable',
    todo: "Check that core runs and that this task is on core's control network.",
  },
  'WIRE.REFUSED': { class: 'permanent', todo: "Read core's words in the message." },
  'WIRE.LISTEN_FAILED': {
    class: 'permanent',
    todo: 'Check ListenAddr, and that no other process of the container listens there.',
  },
  'WIRE.MALFORMED': { class: 'permanent', todo: 'Use the same version of core and extension, or report it.' },
  'AGENT.CONFIG_MISSING': { class: 'permanent', todo: 'Mount the configuration at ProxyConfigPath.' },
  'AGENT.CONFIG_DAEMON': {
    class: 'permanent',
    todo: 'Take `daemon on;` out of the proxy file: NGINX must stay in the foreground here.',
  },
  'AGENT.NGINX_MISSING': {
    class: 'permanent',
    todo: 'Use an image that has NGINX on its PATH, or name the binary in INTERLOCK_NGINX.',
  },
  'AGENT.NGINX_EXITED': { class: 'permanent', todo: "Read NGINX's own words above; Swarm restarts the task." },
  'AGENT.NGINX_TOO_OLD': { class: 'permanent', todo: 'Use NGINX 1.28 or newer.' },
  'CLI.STATE_UNUSABLE': {
    class: 'permanent',
    todo: 'Save the folder with "interlock snapshot --out DIR" on a manager, or correct the files named above.',
  },
  'CLI.OUT_UNUSABLE': { class: 'permanent', todo: 'Name another folder with --out.' },
  'CLI.CLUSTER_UNKNOWN': { class: 'permanent', todo: 'Name a ServiceCluster of config.toml, or leave --cluster out.' },
  'CLI.CORE_NOT_FOUND': {
    class: 'permanent',
    todo: 'Run it on the manager that runs core, or name core with --endpoint and --token-file.',
  },
  'RENDER.CHECK_FAILED': { class: 'permanent', todo: "Read NGINX's words; the last good configuration keeps serving." },
} as const satisfies Record<string, { class: ErrorClass; todo: string }>;

export type ErrorCode = keyof typeof ERRORS;

/** Something outside went wrong. The message is for people; match on `code`. */
export class OperationalError extends Error {
  readonly code: ErrorCode;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; facts?: Record<string, unknown> } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'OperationalError';
    this.code = code;
    this.facts = options.facts ?? {};
  }

  get class(): ErrorClass {
    return ERRORS[this.code].class;
  }
}

/** A bug of ours: ends the process loudly. */
export class InvariantError extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'InvariantError';
  }
}

export function assertNever(value: never): never {
  // inspect, because JSON.stringify itself throws on a BigInt or a cycle.
  throw new InvariantError(`unexpected value: ${inspect(value)}`);
}

export function isOperational(error: unknown, ...codes: readonly ErrorCode[]): error is OperationalError {
  return error instanceof OperationalError && (codes.length === 0 || codes.includes(error.code));
}

export function toError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}

/** The code that the system gave an error, e.g. `ENOENT`; `undefined`: none. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
