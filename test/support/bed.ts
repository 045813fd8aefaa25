/**
 * The bed, for tests and benches: Swarms of real engines that docker/bed makes.
 * In: names and counts. Out: sockets, addresses, files. What the scripts say on stderr is part of every error.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Look, lookThroughLogs } from './container-logs.ts';

/** Debian testing's and stable's current engine, or the machine's own. */
export type BedEngine = 'forky' | 'trixie' | 'host';

export interface StartSwarmOptions {
  /** Up to 31 of a-z, 0-9 and '-'; one name is one cluster in this checkout's state folder. */
  readonly name: string;
  readonly nodes: number;
  /** The first nodes are managers; default 1. */
  readonly managers?: number;
  /** Default 'forky'. */
  readonly engine?: BedEngine;
  /** Dispatcher heartbeat 1 s: a lost node is Down after about 2 s instead of 12. */
  readonly fastHeartbeat?: boolean;
  /** Default true: the machine reaches the nodes by their addresses. */
  readonly hostLink?: boolean;
  /** The nodes speak to a registry on the cluster's own network over plain HTTP. Default false. */
  readonly insecureRegistry?: boolean;
  readonly signal?: AbortSignal;
}

/** running: the engine answers or is about to; crashed: containers without their dockerd; off: no process at all. */
export type NodeState = 'running' | 'crashed' | 'off';

export interface SwarmNode {
  /** From 1. Node 1 is always a manager. */
  readonly index: number;
  /** IPv4 on the cluster's network; tasks that publish in host mode answer here. */
  readonly address: string;
  /** Unix socket of the node's engine; a new one after startNode, under the same path. */
  readonly dockerSocket: string;
  /** Network namespace file; made anew by startNode after killNode. */
  readonly netns: string;
  /** What dockerd says. */
  readonly log: string;
}

export interface CommandOptions {
  readonly signal?: AbortSignal;
  /** Default: an empty stdin. */
  readonly input?: string;
}

export interface CommandOutput {
  readonly stdout: string;
  readonly stderr: string;
}

export interface Swarm {
  readonly name: string;
  readonly nodes: readonly SwarmNode[];
  /** The machine's own address on the cluster's network; undefined without a host link. */
  readonly hostAddress: string | undefined;
  /** Engine socket of node 1. */
  readonly managerSocket: string;
  /** Runs a command with the node's files, network and processes; throws BedError when it exits non-zero. */
  exec(index: number, argv: readonly string[], options?: CommandOptions): Promise<CommandOutput>;
  /** The same with this machine's files and only the node's network. `down` does not end such a command. */
  netExec(index: number, argv: readonly string[], options?: CommandOptions): Promise<CommandOutput>;
  nodeStates(): Promise<readonly NodeState[]>;
  /** Power loss: no packet leaves the node any more, and every process of it is gone when this returns. */
  killNode(index: number): Promise<void>;
  /** Only dockerd dies; containers stay. */
  crashNode(index: number): Promise<void>;
  /** After killNode or crashNode; returns when the engine answers (the Swarm may need a moment more to see it Ready). */
  startNode(index: number): Promise<void>;
  link(index: number, state: 'up' | 'down'): Promise<void>;
  /** `docker load` of image archives on every running node. */
  loadImages(archives: readonly string[]): Promise<void>;
  /** `docker import` of a root filesystem on every running node: one tag, but an image id of its own on each. */
  importImage(rootArchive: string, tag: string): Promise<void>;
  /**
   * Looks through the logs of all containers there are for bytes of the secrets mounted in them now and at earlier calls; throws when one
   * was printed. For tests that remove containers: `down` does it by itself.
   */
  lookThroughLogs(): Promise<Look>;
  /** Ends the cluster and leaves nothing; then throws when a log held a secret. May be called again. */
  down(): Promise<void>;
}

/** A script of the bed failed, or a command that was run through it. */
export class BedError extends Error {
  override readonly name = 'BedError';
  readonly argv: readonly string[];
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;

  constructor(argv: readonly string[], exitCode: number | null, output: CommandOutput) {
    super(
      `${argv.join(' ')}: ${exitCode === null ? 'ended by a signal' : `exit code ${exitCode}`}\n${output.stderr.trimEnd()}`,
    );
    this.argv = argv;
    this.exitCode = exitCode;
    this.stdout = output.stdout;
    this.stderr = output.stderr;
  }
}

/** Brings a cluster up, all nodes Ready. When that fails or `signal` aborts, nothing of it stays. */
export async function startSwarm(options: StartSwarmOptions): Promise<Swarm> {
  const { name, signal } = options;
  const argv = ['up', '--name', name, '--nodes', String(options.nodes)];
  argv.push('--managers', String(options.managers ?? 1), '--engine', options.engine ?? 'forky');
  if (options.fastHeartbeat === true) argv.push('--fast-heartbeat');
  if (options.hostLink === false) argv.push('--no-host-link');
  if (options.insecureRegistry === true) argv.push('--insecure-registry');
  try {
    await runBed('swarm.sh', argv, signal === undefined ? {} : { signal });
    return await openSwarm(name);
  } catch (error) {
    await stopSwarm(name).catch((cleanUp: unknown) => {
      throw new AggregateError([error, cleanUp], `the cluster '${name}' neither came up nor went down`);
    });
    throw error;
  }
}

/** A cluster that is up already. */
export async function openSwarm(name: string): Promise<Swarm> {
  const swarm = async (...argv: readonly string[]) => {
    await runBed('swarm.sh', argv);
  };
  const { nodes, hostAddress } = await describeSwarm(name);
  const first = nodes[0];
  if (first === undefined) throw new Error(`the cluster '${name}' has no nodes`);
  const secrets = new Set<string>();
  const printed = async (index: number, argv: readonly string[]) =>
    (await runBed('swarm.sh', ['exec', name, String(index), ...argv])).stdout;
  const look = () => lookThroughLogs(nodes, { exec: printed, secrets });
  return {
    name,
    nodes,
    hostAddress: hostAddress ?? undefined,
    managerSocket: first.dockerSocket,
    exec: (index, argv, options) => runBed('swarm.sh', ['exec', name, String(index), ...argv], options),
    netExec: (index, argv, options) => runBed('swarm.sh', ['net-exec', name, String(index), ...argv], options),
    nodeStates: async () => (await describeSwarm(name)).nodes.map((node) => node.state),
    killNode: (index) => swarm('node-kill', name, String(index)),
    crashNode: (index) => swarm('node-crash', name, String(index)),
    startNode: (index) => swarm('node-start', name, String(index)),
    link: (index, state) => swarm('link', name, String(index), state),
    loadImages: (archives) => swarm('load', name, ...archives),
    importImage: (rootArchive, tag) => swarm('import', name, rootArchive, tag),
    lookThroughLogs: look,
    async down() {
      const [looked] = await Promise.allSettled([look()]);
      await stopSwarm(name);
      if (looked.status === 'rejected') throw looked.reason;
    },
  };
}

/** Ends the cluster of that name, whole, half made or not there at all. */
export async function stopSwarm(name: string): Promise<void> {
  await runBed('swarm.sh', ['down', '--name', name]);
}

/** A .tar for `docker import`: 'minbase' has bash and coreutils, the others what our images stand on. */
export async function baseArchive(
  base: 'minbase' | 'node-base' | 'nginx-base',
  options: CommandOptions = {},
): Promise<string> {
  return await printedBy('debian.sh', [base], options);
}

interface SwarmDescription {
  readonly hostAddress: string | null;
  readonly nodes: readonly (SwarmNode & { readonly state: NodeState })[];
}

async function describeSwarm(name: string): Promise<SwarmDescription> {
  // Our own script's output: its shape is the contract of `swarm.sh env --json`.
  return JSON.parse(await printedBy('swarm.sh', ['env', '--json', name], {})) as SwarmDescription;
}

async function printedBy(script: string, argv: readonly string[], options: CommandOptions): Promise<string> {
  return (await runBed(script, argv, options)).stdout.trim();
}

/** Runs a script of docker/bed; throws BedError unless it exits with 0, and the signal's reason when that aborts. */
export async function runBed(
  script: string,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandOutput> {
  const file = fileURLToPath(new URL(`../../docker/bed/${script}`, import.meta.url));
  const { signal, input = '' } = options;
  signal?.throwIfAborted();
  const child = spawn('bash', [file, ...argv], { stdio: 'pipe' });
  const abort = () => child.kill();
  signal?.addEventListener('abort', abort, { once: true });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  // A command that ends without reading its input is not an error of ours.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    signal?.throwIfAborted();
    const output = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
    if (exitCode !== 0) throw new BedError([script, ...argv], exitCode, output);
    return output;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}
