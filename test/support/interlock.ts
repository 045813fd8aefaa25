/**
 * Interlock deployed on a bed's Swarm by `docker stack deploy` of docker/stack.yml, and what tests and benches do with it: make labelled
 * services, ask the proxies, look at what core made. In: a Swarm and a config.toml. Out: addresses, answers, Engine objects.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Docker from 'dockerode';
import { Agent, request } from 'undici';
import { sha256Hex } from '../../src/model/revision.ts';
import type { Swarm } from './bed.ts';
import { eventually } from './eventually.ts';

const run = promisify(execFile);

export const STACK = 'interlock';

/** One default extension; two proxies in host mode on port 8080, on workers only when there is room for it. */
export function defaultConfig(options: { readonly replicas?: number; readonly extra?: string } = {}): string {
  return `ListenAddr = ":8080"
DockerURL = "unix:///var/run/docker.sock"
PollInterval = "3s"

[Extensions.default]
Image = "interlock/extension:dev"
ServiceName = "interlock-extension"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "interlock-proxy"
ProxyConfigPath = "/etc/nginx/nginx.conf"
ProxyReplicas = ${options.replicas ?? 1}
ProxyStopSignal = "SIGQUIT"
ProxyStopGracePeriod = "5s"
PublishMode = "host"
PublishedPort = 8080
TargetPort = 80
PublishedSSLPort = 8443
TargetSSLPort = 443
${options.extra ?? ''}
[Extensions.default.Config]
ClientMaxBodySize = "32m"
`;
}

/** The production stack, as it stands in the repository. */
const STACK_FILE = fileURLToPath(new URL('../../docker/stack.yml', import.meta.url));

const FILTER_FOLDER = fileURLToPath(new URL('../../docker/socket-proxy', import.meta.url));

/** Laid over it: debug logs, which tests read. */
const DEBUG_FILE = `version: "3.8"
services:
  core:
    command: ["core", "-c", "/config.toml", "-D"]
`;

/** The manager's control socket, as its folder: what the task feed `watch` needs. */
const CONTROL_SOCKET_FILE = `version: "3.8"
services:
  core:
    volumes:
      - /var/run/docker/swarm:/var/run/docker/swarm
`;

export interface DeployOptions {
  /** Give core the manager's control socket. Default true. */
  readonly controlSocket?: boolean;
  /** With the filter before the Docker socket, by docker/socket-proxy; config.toml must name its socket. Default false. */
  readonly filtered?: boolean;
  /** Laid over the stack file. */
  readonly overlay?: string;
  /** Core's image in a registry that asks for a login, which is in this folder for `docker --config`. Default: the local image. */
  readonly login?: { readonly image: string; readonly configFolder: string };
}

export interface AppOptions {
  readonly name: string;
  /** `com.docker.lb.` is put before each key. */
  readonly lb?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly networks: readonly string[];
  readonly replicas?: number;
  /** One task on every node, in place of `replicas`. */
  readonly everywhere?: boolean;
  readonly env?: readonly string[];
  readonly constraints?: readonly string[];
  readonly ports?: readonly Record<string, unknown>[];
  readonly updateOrder?: 'start-first' | 'stop-first';
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface Interlock {
  readonly swarm: Swarm;
  readonly docker: Docker;
  /** `docker …` on the manager. */
  cli(...args: readonly string[]): Promise<string>;
  /** The same with what it says beside its answer, behind it. */
  cliWords(...args: readonly string[]): Promise<string>;
  createNetwork(name: string): Promise<string>;
  /** Returns the service's id; `interlock/demo:dev` listens on 8080. */
  createApp(options: AppOptions): Promise<string>;
  /** Reads the spec, lets `change` edit a copy, writes it back; out-of-sequence answers are tried again. */
  updateService(idOrName: string, change: (spec: ServiceSpec) => void): Promise<void>;
  removeService(idOrName: string): Promise<void>;
  /** The container of one running task, as the engine that runs it prints it. */
  inspectContainer(service: string): Promise<Docker.ContainerInspectInfo>;
  /** Runs a command in the container of one running task, and returns what it prints. */
  exec(service: string, command: readonly string[]): Promise<string>;
  /** Kills the container of one running task where it runs, and returns the task's id once another one runs in its place. */
  killTask(service: string): Promise<string>;
  inspectService(idOrName: string): Promise<ServiceJson>;
  /** `http://address:8080` of every node that runs a proxy task right now. */
  proxies(): Promise<readonly string[]>;
  ask(base: string, host: string, path?: string, headers?: Record<string, string>): Promise<Answer>;
  /** Waits until every running proxy (at least `proxies`, default 1) answers like this. */
  untilAll(
    host: string,
    like: (answer: Answer) => boolean,
    options?: { readonly proxies?: number; readonly timeoutMs?: number },
  ): Promise<void>;
  /** Everything core logged so far, one object per line; lines that are not JSON are left out. */
  coreLog(): Promise<readonly Record<string, unknown>[]>;
  /** All lines of all cores so far, as they are. */
  coreLogText(): Promise<string>;
  /** Takes what was left on this machine away. Throws when a log holds a secret, or when no secret was ever there to be looked for. */
  down(): Promise<void>;
}

/** The parts of a spec that tests edit. */
export interface ServiceSpec {
  Name: string;
  Labels: Record<string, string>;
  Mode: { Replicated?: { Replicas: number } };
  TaskTemplate: { ForceUpdate?: number; ContainerSpec: Record<string, unknown>; Networks?: { Target: string }[] };
  [key: string]: unknown;
}

export interface ServiceJson {
  readonly ID: string;
  readonly Version: { readonly Index: number };
  readonly Spec: ServiceSpec;
  readonly UpdateStatus?: { readonly State: string };
}

export interface TaskJson {
  readonly ID: string;
  readonly ServiceID: string;
  readonly NodeID?: string;
  readonly DesiredState: string;
  readonly Status: {
    readonly State: string;
    readonly Err?: string;
    readonly ContainerStatus?: { readonly ContainerID: string };
  };
}

/** A command of the docker CLI ends within this time, or something is stuck and the test should say so. */
const CLI_LIMIT_MS = 120_000;

/** Deploys the stack; does not wait for a proxy, because there is none before the first answer of the extension. */
export async function deployInterlock(
  swarm: Swarm,
  config: string,
  { controlSocket = true, filtered = false, overlay, login }: DeployOptions = {},
): Promise<Interlock> {
  const folder = await mkdtemp(join(tmpdir(), 'interlock-stack-'));
  const socket = swarm.managerSocket;
  const docker = new Docker({ socketPath: socket });
  const agent = new Agent({ connect: { timeout: 2_000 }, headersTimeout: 10_000, bodyTimeout: 10_000, pipelining: 0 });

  const env = {
    ...process.env,
    INTERLOCK_CORE_IMAGE: login?.image ?? 'interlock/core:dev',
    INTERLOCK_CONFIG_DIGEST: sha256Hex(config).slice(0, 12),
    INTERLOCK_FILTER_IMAGE: 'interlock/proxy:dev',
    INTERLOCK_FILTER_DIGEST: sha256Hex(await readFile(join(FILTER_FOLDER, 'nginx.conf'))).slice(0, 12),
  };
  async function cli(...args: readonly string[]): Promise<string> {
    return runCli(CLI_LIMIT_MS, args);
  }

  async function runCli(timeout: number, args: readonly string[]): Promise<string> {
    return (await runDocker(timeout, args)).stdout;
  }

  function runDocker(timeout: number, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
    return run('docker', ['-H', `unix://${socket}`, ...args], { env, maxBuffer: 64 * 1024 * 1024, timeout });
  }

  /** A log is put together from all nodes that ran a task, and may wait for one that has just let go of it: then it is asked for again. */
  async function coreLogText(): Promise<string> {
    return eventually(() => runCli(15_000, ['service', 'logs', '--raw', `${STACK}_core`]), { timeoutMs: 60_000 });
  }

  // stack.yml names the config.toml beside it.
  await copyFile(filtered ? join(FILTER_FOLDER, 'stack.yml') : STACK_FILE, join(folder, 'stack.yml'));
  await copyFile(join(FILTER_FOLDER, 'nginx.conf'), join(folder, 'nginx.conf'));
  await writeFile(join(folder, 'config.toml'), config);
  await writeFile(join(folder, 'debug.yml'), DEBUG_FILE);
  await writeFile(join(folder, 'control-socket.yml'), CONTROL_SOCKET_FILE);
  await writeFile(join(folder, 'overlay.yml'), overlay ?? '');
  const names = [
    'stack.yml',
    'debug.yml',
    ...(controlSocket ? ['control-socket.yml'] : []),
    ...(overlay === undefined ? [] : ['overlay.yml']),
  ];
  const files = names.flatMap((name) => ['-c', join(folder, name)]);
  const [globals, options] =
    login === undefined ? [[], []] : [['--config', login.configFolder], ['--with-registry-auth']];
  await cli(...globals, 'stack', 'deploy', '--resolve-image', 'never', ...options, ...files, STACK);

  async function tasksOf(service: string): Promise<readonly TaskJson[]> {
    // Shape: Engine API `GET /tasks`.
    return (await docker.listTasks({ filters: { service: [service] } })) as readonly TaskJson[];
  }

  async function runningTasks(service: string): Promise<readonly TaskJson[]> {
    const tasks = await tasksOf(service);
    return tasks.filter(({ DesiredState, Status }) => DesiredState === 'running' && Status.State === 'running');
  }

  /** The bed's node of a Swarm node id: its host name is `n<index>`. */
  async function nodeIndex(nodeId: string): Promise<number> {
    const node = (await docker.getNode(nodeId).inspect()) as { Description: { Hostname: string } };
    return Number(node.Description.Hostname.replace(/^\D+/, ''));
  }

  async function containerOf(
    service: string,
  ): Promise<{ readonly taskId: string; readonly container: Docker.Container; readonly dockerSocket: string }> {
    const [task] = await runningTasks(service);
    const id = task?.Status.ContainerStatus?.ContainerID;
    if (task?.NodeID === undefined || id === undefined) {
      throw new Error(`no task of ${service} runs`);
    }
    const socketPath = swarm.nodes[(await nodeIndex(task.NodeID)) - 1]?.dockerSocket ?? '';
    return { taskId: task.ID, container: new Docker({ socketPath }).getContainer(id), dockerSocket: socketPath };
  }

  async function exec(service: string, command: readonly string[]): Promise<string> {
    const { container, dockerSocket } = await containerOf(service);
    const args = ['-H', `unix://${dockerSocket}`, 'exec', container.id, ...command];
    const { stdout } = await run('docker', args, { maxBuffer: 64 * 1024 * 1024, timeout: CLI_LIMIT_MS });
    return stdout;
  }

  async function inspectService(idOrName: string): Promise<ServiceJson> {
    // Shape: Engine API `GET /services/{id}`.
    return (await docker.getService(idOrName).inspect()) as ServiceJson;
  }

  async function proxies(): Promise<readonly string[]> {
    const tasks = await runningTasks('interlock-proxy');
    const nodes = await Promise.all(tasks.map(({ NodeID }) => nodeIndex(NodeID ?? '')));
    return nodes.map((index) => `http://${swarm.nodes[index - 1]?.address ?? '0.0.0.0'}:8080`);
  }

  async function ask(base: string, host: string, path = '/', headers: Record<string, string> = {}): Promise<Answer> {
    const response = await request(`${base}${path}`, { dispatcher: agent, headers: { ...headers, host } });
    return { status: response.statusCode, headers: response.headers, body: await response.body.text() };
  }

  return {
    swarm,
    docker,
    cli,
    async cliWords(...args) {
      const { stdout, stderr } = await runDocker(CLI_LIMIT_MS, args);
      return `${stdout}${stderr}`;
    },
    inspectService,
    proxies,
    ask,
    async createNetwork(name) {
      const { id } = await docker.createNetwork({ Name: name, Driver: 'overlay', CheckDuplicate: true });
      return id;
    },
    async createApp(options) {
      const created = (await docker.createService(appSpec(options))) as unknown as {
        id?: string;
        ID?: string;
      };
      return created.id ?? created.ID ?? '';
    },
    async updateService(idOrName, change) {
      await eventually(
        async () => {
          const { Spec, Version } = await inspectService(idOrName);
          const spec = structuredClone(Spec);
          change(spec);
          await docker.getService(idOrName).update({ ...spec, version: Version.Index });
        },
        { timeoutMs: 10_000 },
      );
    },
    async removeService(idOrName) {
      await docker.getService(idOrName).remove();
    },
    async inspectContainer(service) {
      return await (await containerOf(service)).container.inspect();
    },
    exec,
    async killTask(service) {
      const { taskId, container } = await containerOf(service);
      await container.kill();
      await eventually(async () => (await runningTasks(service)).some(({ ID }) => ID !== taskId), {
        timeoutMs: 60_000,
      });
      return taskId;
    },
    async untilAll(host, like, { proxies: atLeast = 1, timeoutMs = 60_000 } = {}) {
      await eventually(
        async () => {
          const bases = await proxies();
          if (bases.length < atLeast) {
            throw new Error(`${bases.length} of ${atLeast} proxies run`);
          }
          for (const base of bases) {
            const answer = await ask(base, host);
            if (!like(answer)) {
              throw new Error(`${base} answers ${host} with ${answer.status}: ${answer.body.slice(0, 200)}`);
            }
          }
        },
        { timeoutMs },
      );
    },
    coreLogText,
    async coreLog() {
      const text = await coreLogText();
      return text.split('\n').flatMap(parseLine);
    },
    async down() {
      await agent.close();
      await rm(folder, { recursive: true, force: true });
      const { containers, lines, secrets } = await swarm.lookThroughLogs();
      process.stderr.write(`${lines} lines of ${containers} containers looked through for ${secrets} secrets\n`);
      if (secrets === 0) {
        throw new Error('no secret was found to look for in the logs: look through them before the stack is removed');
      }
    },
  };
}

function parseLine(line: string): readonly Record<string, unknown>[] {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? [value as Record<string, unknown>] : [];
  } catch {
    return []; // a line cut by the log's reader
  }
}

function appSpec(options: AppOptions): Record<string, unknown> {
  const lb = Object.entries(options.lb ?? {}).map(([key, value]) => [`com.docker.lb.${key}`, value] as const);
  return {
    Name: options.name,
    Labels: { ...Object.fromEntries(lb), ...options.labels },
    TaskTemplate: {
      ContainerSpec: {
        Image: 'interlock/demo:dev',
        Env: [`DEMO_NAME=${options.name}`, ...(options.env ?? [])],
        Init: true,
        StopGracePeriod: 2_000_000_000,
        // Quick to start, and seldom afterwards: a probe starts a process, and dozens of applications share these cores.
        Healthcheck: { StartPeriod: 30_000_000_000, StartInterval: 250_000_000, Interval: 60_000_000_000 },
      },
      Networks: options.networks.map((Target) => ({ Target })),
      RestartPolicy: { Condition: 'any', Delay: 100_000_000 },
      ...(options.constraints === undefined ? {} : { Placement: { Constraints: options.constraints } }),
    },
    Mode: options.everywhere === true ? { Global: {} } : { Replicated: { Replicas: options.replicas ?? 1 } },
    UpdateConfig: { Parallelism: 1, Order: options.updateOrder ?? 'start-first', Monitor: 500_000_000 },
    EndpointSpec: { Mode: 'dnsrr', ...(options.ports === undefined ? {} : { Ports: options.ports }) },
  };
}
