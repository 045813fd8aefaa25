/**
 * All that is not core, in a process of its own: a simulated Swarm, the extension, and the agent of one proxy that applies at once.
 * Its parent makes changes by messages, and hears what was served and what the Engine was asked.
 */

import { createFetcher } from '../../../src/agent/delivery/fetch.ts';
import { extensionMain } from '../../../src/extension/main.ts';
import { createCell } from '../../../src/runtime/cell.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { createLogger } from '../../../src/runtime/logging.ts';
import { createWireClient } from '../../../src/wire/client.ts';
import type { AgentReport } from '../../../src/wire/contract.ts';
import type { RawTask } from '../../fakes/engine/raw.ts';
import { eventually } from '../../support/eventually.ts';
import { tokenIn } from '../../support/tokens.ts';
import { type SimulatedSwarm, simulateSwarm } from '../scale/swarm.ts';

export const CONFIG_PATH = '/etc/nginx/nginx.conf';

export type ToOutside =
  | { readonly kind: 'serve'; readonly endpoint: string }
  | { readonly kind: 'endpoint' | 'label'; readonly service: number; readonly host: string }
  | { readonly kind: 'calls' };

export type FromOutside =
  | { readonly kind: 'ready'; readonly dockerUrl: string; readonly controlSocket: string }
  | { readonly kind: 'applied'; readonly count: number }
  /** Since the last time. */
  | { readonly kind: 'calls'; readonly calls: readonly CallCount[] };

export interface CallCount {
  /** e.g. `GET /tasks`; `GET /tasks?` with a filter. */
  readonly asked: string;
  readonly count: number;
  readonly bytes: number;
}

const { signal } = new AbortController();
const silent = createLogger({ level: 'silent', component: 'bench' }, { write: () => undefined });

function say(message: FromOutside): void {
  process.send?.(message);
}

async function main(services: number): Promise<void> {
  const swarm = await simulateSwarm(services);
  for (const task of swarm.fake.swarm.store.tasks.values()) {
    fatten(task);
  }
  for (const { Spec } of swarm.fake.swarm.store.services.values()) {
    Object.assign(Spec.TaskTemplate.ContainerSpec ?? {}, container());
  }
  process.on('message', (message: ToOutside) => void act(message, swarm));
  process.once('disconnect', () => process.exit());
  say({ kind: 'ready', dockerUrl: swarm.fake.dockerUrl, controlSocket: swarm.control.socketPath });
}

async function act(message: ToOutside, swarm: SimulatedSwarm): Promise<void> {
  switch (message.kind) {
    case 'serve':
      await Promise.all([runExtension(message.endpoint, swarm), runAgent(message.endpoint, swarm)]);
      return;
    case 'endpoint':
      swarm.replaceTask(message.service);
      return;
    case 'label': {
      swarm.addHost(message.service, message.host);
      const { ID, Spec } = swarm.fake.swarm.service(`s${message.service}`);
      swarm.fake.swarm.store.emit('service', 'update', ID, { name: Spec.Name });
      return;
    }
    case 'calls':
      say({ kind: 'calls', calls: countCalls(swarm) });
      swarm.fake.forgetCalls();
  }
}

function countCalls({ fake }: SimulatedSwarm): readonly CallCount[] {
  const counts = new Map<string, CallCount>();
  for (const { asked, query, bytesOut } of fake.calls) {
    const name = `${asked.replace(/\/[a-z0-9]{25}\b/, '/*')}${query.includes('filters') ? '?' : ''}`;
    const { count, bytes } = counts.get(name) ?? { count: 0, bytes: 0 };
    counts.set(name, { asked: name, count: count + 1, bytes: bytes + bytesOut });
  }
  return [...counts.values()];
}

async function runExtension(endpoint: string, { fake }: SimulatedSwarm): Promise<void> {
  // `true` stands in for NGINX: what a check costs is not core's.
  await extensionMain(
    { endpoint, extension: 'default', nginxBinary: 'true', version: '0.0.0', tokenFile: '/nowhere' },
    { signal, logger: silent, clock: systemClock, token: () => Promise.resolve(tokenIn(fake, 'default', 'extension')) },
  );
}

async function runAgent(endpoint: string, { fake, tellOf }: SimulatedSwarm): Promise<void> {
  const options = { timeoutMs: 60_000, everyMs: 100 };
  const task = await eventually(() => {
    const [running] = fake.swarm.runningTasksOf('interlock-proxy');
    if (running === undefined) {
      throw new Error('no proxy runs');
    }
    return running;
  }, options);
  tellOf('interlock-proxy');
  tellOf('interlock-extension');
  const client = createWireClient({
    endpoint,
    identity: { role: 'proxy', extension: 'default', version: '0.0.0' },
    token: () => Promise.resolve(tokenIn(fake, 'default', 'proxy')),
  });
  const fetcher = createFetcher(client, CONFIG_PATH);
  const reports = createCell<AgentReport>();
  const hello = { taskId: task.ID, nodeId: 'node1', proxyVersion: '1.30.6', artifactDigest: undefined };
  let count = 0;
  for await (const directive of client.agentSession(hello, (over) => reports.watch(over), signal)) {
    if (directive.kind === 'serve') {
      await fetcher.fetch(directive, signal);
      reports.set({
        artifactDigest: directive.manifest.digest,
        outcome: { kind: 'applied' },
        durationMs: 1,
        findings: [],
      });
      count += 1;
      say({ kind: 'applied', count });
    }
  }
}

/** As much text as the Engine prints for an ordinary task: about 3 KB. */
function fatten(task: RawTask): void {
  task.Spec = {
    ContainerSpec: container(),
    Resources: { Limits: { MemoryBytes: 536_870_912 }, Reservations: {} },
    RestartPolicy: { Condition: 'any', Delay: 5_000_000_000 },
    Placement: { Constraints: ['node.platform.os==linux'] },
    Networks: [{ Target: task.NetworksAttachments?.[0]?.Network.ID ?? '', Aliases: ['app'] }],
    ForceUpdate: 0,
  };
  task.Status.ContainerStatus = { ContainerID: task.ID.padEnd(64, '0'), PID: 4_242, ExitCode: 0 };
  for (const { Network } of task.NetworksAttachments ?? []) {
    Network.Spec = {
      Name: 'app',
      Labels: { 'com.docker.stack.namespace': 'app' },
      DriverConfiguration: {},
      Scope: 'swarm',
    };
    Object.assign(Network, {
      DriverState: { Name: 'overlay', Options: { 'com.docker.network.driver.overlay.vxlanid_list': '4097' } },
      IPAMOptions: { Driver: { Name: 'default' }, Configs: [{ Subnet: '10.0.1.0/24', Gateway: '10.0.1.1' }] },
    });
  }
}

function container() {
  return {
    Image: `registry.example.com/team/application:1.2.3@sha256:${'a'.repeat(64)}`,
    Labels: { 'com.docker.stack.namespace': 'app' },
    Env: Array.from({ length: 20 }, (_, at) => `SETTING_NUMBER_${at}=a value of the usual length`),
    Privileges: { CredentialSpec: null, SELinuxContext: null },
    Mounts: [{ Type: 'volume', Source: 'data', Target: '/var/lib/application' }],
    StopGracePeriod: 10_000_000_000,
    DNSConfig: {},
    Isolation: 'default',
  };
}

await main(Number(process.argv[2]));
