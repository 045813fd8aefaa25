/**
 * Core, extension and agent as they run in production: one process each from `dist`, the agent with a real NGINX, core with a control
 * socket at its usual path (in a mount namespace of its own). Needs root.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startAgentProcess } from '../../integration/agent/agent-process.ts';
import { nginxScript } from '../../integration/agent/real-nginx.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort, nginxRoot } from '../../support/nginx.ts';
import { tokenIn } from '../../support/tokens.ts';
import { openRelay, parentOf, type Relay } from './processes.ts';
import type { SimulatedSwarm } from './swarm.ts';

const PROGRAM = fileURLToPath(new URL('../../../dist/bin/interlock.js', import.meta.url));
const UNTIL_FIRST_FILE = { timeoutMs: 300_000, everyMs: 200 };

export type Role = 'core' | 'extension' | 'agent';
export type LogLine = Readonly<Record<string, unknown>>;

export interface ScaleDaemons extends AsyncDisposable {
  readonly pids: Readonly<Record<Role, number>>;
  /** NGINX's HTTP port. */
  readonly port: number;
  /** Bytes between core and each of them. */
  readonly wire: Readonly<Record<'extension' | 'agent', Relay>>;
  log(role: Role): Promise<readonly LogLine[]>;
  /** The file NGINX runs from, as it is now. */
  served(): Promise<string>;
}

/** `profiles`: a folder for a processor profile of each daemon. Ready once NGINX serves everything. */
export async function startDaemons(swarm: SimulatedSwarm, profiles?: string): Promise<ScaleDaemons> {
  const { fake, control } = swarm;
  const home = await mkdtemp(join(tmpdir(), 'interlock-scale-'));
  const corePort = await freePort();
  const port = await freePort();
  const settings = `ListenAddr = "127.0.0.1:${corePort}"
DockerURL = "${fake.dockerUrl}"
EndpointOverride = "127.0.0.1:${corePort}"
TaskFeed = "watch"

[Extensions.default]
Image = "interlock/extension:dev"
ServiceName = "interlock-extension"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "interlock-proxy"
ProxyConfigPath = "/etc/nginx/nginx.conf"
ProxyReplicas = 1
TargetPort = ${port}
TargetSSLPort = ${await freePort()}
`;
  await writeFile(join(home, 'config.toml'), settings);
  const program = (role: Role) => [
    process.execPath,
    ...(profiles === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', join(profiles, role)]),
    PROGRAM,
  ];
  const children: ChildProcess[] = [];

  async function start(role: Role, command: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
    const output = await open(join(home, role), 'a');
    const [binary = '', ...args] = command;
    const child = spawn(binary, args, {
      stdio: ['ignore', output.fd, output.fd],
      env: { ...process.env, ...env },
    });
    children.push(child);
    await output.close();
    return child.pid ?? 0;
  }

  const enter = `mount --make-rprivate / && mkdir -p /run/docker/swarm && mount --bind "$1" /run/docker/swarm && shift && exec "$@"`;
  const core = await start(
    'core',
    [
      'unshare',
      ...['--mount', 'sh', '-c', enter, 'sh', dirname(control.socketPath)],
      ...program('core'),
      ...['core', '-c', join(home, 'config.toml'), '-D'],
    ],
    { INTERLOCK_OPERATOR_SOCKET: join(home, 'operator.sock') },
  );
  const wire = {
    extension: await openRelay(`127.0.0.1:${corePort}`),
    agent: await openRelay(`127.0.0.1:${corePort}`),
  };
  const token = (role: 'extension' | 'proxy') => eventually(() => tokenOf(fake, role), UNTIL_FIRST_FILE);
  await writeFile(join(home, 'token'), await token('extension'));
  const extension = await start('extension', [...program('extension'), 'extension', 'nginx', '-D'], {
    INTERLOCK_ENDPOINT: wire.extension.endpoint,
    INTERLOCK_EXTENSION: 'default',
    INTERLOCK_TOKEN_FILE: join(home, 'token'),
    INTERLOCK_NGINX: await nginxScript(home, await nginxRoot()),
  });
  const { task, mounted } = await eventually(() => firstTask(swarm), UNTIL_FIRST_FILE);
  const agent = await startAgentProcess({
    mounted,
    secrets: { 'interlock-token': await token('proxy') },
    env: {
      INTERLOCK_ENDPOINT: wire.agent.endpoint,
      INTERLOCK_EXTENSION: 'default',
      INTERLOCK_TASK_ID: task,
      INTERLOCK_NODE_ID: 'node1',
    },
    program: program('agent'),
  });
  swarm.tellOf('interlock-proxy');
  swarm.tellOf('interlock-extension');
  const master = await agent.master();
  const read = async (role: 'core' | 'extension') => parseLog(await readFile(join(home, role), 'utf8'));

  return {
    pids: { core, extension, agent: parentOf(master) },
    port,
    wire,
    log: (role) => (role === 'agent' ? agent.log() : read(role)),
    served: () => readFile(join(agent.runDir, 'interlock/conf/nginx.conf'), 'utf8'),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      for (const child of children) {
        child.kill('SIGTERM');
        await new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(undefined)));
      }
      wire.extension.close();
      wire.agent.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

function tokenOf(fake: SimulatedSwarm['fake'], role: 'extension' | 'proxy'): string {
  const token = tokenIn(fake, 'default', role);
  if (token === undefined) {
    throw new Error(`core has not made the ${role}'s token yet`);
  }
  return token;
}

/** The task that Swarm would start first, and the file that it would mount for it, packed or not. */
function firstTask({ fake }: SimulatedSwarm): { readonly task: string; readonly mounted: Uint8Array } {
  const service = [...fake.swarm.store.services.values()].find(({ Spec }) => Spec.Name === 'interlock-proxy');
  const [config] = service?.Spec.TaskTemplate.ContainerSpec?.Configs ?? [];
  const data = fake.swarm.store.configs.get(config?.ConfigID ?? '')?.Spec.Data;
  const [task] = service === undefined ? [] : fake.swarm.runningTasksOf('interlock-proxy');
  if (task === undefined || data === undefined) {
    throw new Error('core has not made the proxy service yet');
  }
  return { task: task.ID, mounted: Buffer.from(data, 'base64') };
}

/** The last line may be half written. */
function parseLog(text: string): readonly LogLine[] {
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine);
}
