/** Which engine `up` works on: one that is there and is a Swarm manager, or a private one. */
import { existsSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { type Bed, findPrivateNode, openSocket, type PrivateNode } from './bed.ts';
import { attempt, CommandFailed } from './command.ts';
import { askEngine, createDocker, type Docker, type EngineInfo } from './docker.ts';
import { type Report, StepFailure } from './report.ts';
import type { EngineRecord, Places } from './state.ts';

export const DEFAULT_HOST = 'unix:///var/run/docker.sock';
const PRIVATE_NAME = 'dev';

export interface EngineTools {
  readonly places: Places;
  readonly bed: Bed;
  readonly report: Report;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

export interface EngineWishes {
  /** DOCKER_HOST, or the default socket. */
  readonly host: string;
  readonly forcePrivate: boolean;
  readonly initSwarm: boolean;
}

/** An engine that is a Swarm manager. */
export interface Engine {
  readonly docker: Docker;
  readonly info: EngineInfo;
  /** Only of a private engine. */
  readonly node: PrivateNode | undefined;
}

/** What is to be used, before anything is started or changed. */
export type Choice =
  | { readonly kind: 'private' }
  | { readonly kind: 'existing'; readonly docker: Docker; readonly info: EngineInfo }
  | { readonly kind: 'init-swarm'; readonly docker: Docker; readonly info: EngineInfo };

/** Throws StepFailure when the engine that answers cannot be used and the person has to decide. */
export async function chooseEngine(tools: EngineTools, wishes: EngineWishes): Promise<Choice> {
  if (wishes.forcePrivate) {
    tools.report.say('engine: a private one, as asked for');
    return { kind: 'private' };
  }
  const docker = createDocker(wishes.host, tools.env, tools.signal);
  const asked = await askEngine(docker, tools.signal);
  switch (asked.kind) {
    case 'no-command':
      return withoutCommand(tools, wishes.host);
    case 'silent':
      tools.report.say(`engine: a private one, because ${wishes.host} does not answer`);
      tools.report.detail(asked.why);
      return { kind: 'private' };
    case 'answers':
      return judge(tools, wishes, docker, asked.info);
  }
}

async function withoutCommand(tools: EngineTools, host: string): Promise<Choice> {
  const socket = host.startsWith('unix://') ? host.slice('unix://'.length) : undefined;
  const there =
    socket === undefined ||
    (await access(socket).then(
      () => true,
      () => false,
    ));
  if (there) {
    throw new StepFailure(
      `there is an engine at ${host}, but no docker command on the PATH`,
      'Install it (Debian: apt-get install docker-cli, or docker.io before Debian 13), or use a private engine: npm run up -- --private',
    );
  }
  tools.report.say(`engine: a private one, because there is none at ${host}`);
  return { kind: 'private' };
}

function judge(tools: EngineTools, wishes: EngineWishes, docker: Docker, info: EngineInfo): Choice {
  const name = `the engine at ${wishes.host} (Docker ${info.ServerVersion ?? '?'})`;
  if (info.OSType !== undefined && info.OSType !== 'linux') {
    throw new StepFailure(`${name} runs ${info.OSType} containers`, 'Use an engine with Linux containers.');
  }
  const swarm = info.Swarm?.LocalNodeState ?? 'inactive';
  if (swarm === 'active' && info.Swarm?.ControlAvailable === true) {
    tools.report.say(`engine: ${wishes.host}, Docker ${info.ServerVersion ?? '?'}, a Swarm manager`);
    return { kind: 'existing', docker, info };
  }
  if (swarm === 'active') {
    throw new StepFailure(
      `${name} is a Swarm worker`,
      'Point DOCKER_HOST at a manager of that Swarm, or use a private engine: npm run up -- --private',
    );
  }
  if (swarm !== 'inactive') {
    throw new StepFailure(
      `the Swarm of ${name} is ${swarm}`,
      swarm === 'locked' ? 'Unlock it: docker swarm unlock' : 'Put it right (docker info), or npm run up -- --private',
    );
  }
  if (!wishes.initSwarm) {
    throw new StepFailure(
      `${name} is not part of a Swarm`,
      'Let it become one of a single node with: npm run up -- --init-swarm (npm run down undoes it); or leave it alone: npm run up -- --private',
    );
  }
  tools.report.say(`engine: ${wishes.host}, Docker ${info.ServerVersion ?? '?'}, about to become a Swarm of one node`);
  return { kind: 'init-swarm', docker, info };
}

/** A private engine takes namespaces and mounts. Throws StepFailure when this user can do neither. */
export async function requireRoot(signal: AbortSignal): Promise<void> {
  if (process.getuid?.() === 0) return;
  const sudo = await attempt(['sudo', '-n', 'true'], { signal }).catch(() => undefined);
  if (sudo?.code === 0) return;
  throw new StepFailure(
    `a private engine needs root, and ${sudo === undefined ? 'there is no sudo' : 'sudo asks for a password'}`,
    'Run it as root or allow sudo without a password; or use a Docker engine that this user may use (group docker, DOCKER_HOST).',
  );
}

/** What to write down before `openEngine` acts on the choice. */
export async function recordOf(choice: Choice): Promise<EngineRecord> {
  if (choice.kind === 'private') return { kind: 'private', name: PRIVATE_NAME };
  const ours = choice.kind === 'init-swarm';
  const { docker, info } = choice;
  const gateway = await docker.lines(['network', 'ls', '--quiet', '--filter', 'name=^docker_gwbridge$']);
  return {
    kind: 'existing',
    host: docker.host,
    id: info.ID,
    swarmIsOurs: ours,
    gatewayIsOurs: ours && gateway.length === 0,
  };
}

/** Starts or reaches the recorded engine. Does nothing to one that is as it should be. */
export async function openEngine(tools: EngineTools, record: EngineRecord): Promise<Engine> {
  return record.kind === 'private' ? await openPrivate(tools, record.name) : await openExisting(tools, record);
}

async function openExisting(tools: EngineTools, record: EngineRecord & { kind: 'existing' }): Promise<Engine> {
  const docker = createDocker(record.host, tools.env, tools.signal);
  const info = await answering(tools, docker);
  if (info.ID !== record.id) {
    throw new StepFailure(
      `another engine answers at ${record.host} than the one that npm run up used (${record.id})`,
      'Start that one again and run npm run down; if it is gone for good, remove the folder .interlock/up.',
    );
  }
  if (info.Swarm?.LocalNodeState === 'active') return { docker, info, node: undefined };
  if (!record.swarmIsOurs) {
    throw new StepFailure(
      `the engine at ${record.host} has left its Swarm`,
      'Run npm run down, then npm run up again.',
    );
  }
  await initSwarm(docker);
  return { docker, info: await answering(tools, docker), node: undefined };
}

async function initSwarm(docker: Docker): Promise<void> {
  try {
    await docker.run(['swarm', 'init']);
  } catch (error) {
    if (!(error instanceof CommandFailed && error.stderr.includes('could not choose an IP address'))) throw error;
    // Several addresses, and this Swarm needs none that others can reach.
    await docker.run(['swarm', 'init', '--advertise-addr', '127.0.0.1']);
  }
}

async function openPrivate(tools: EngineTools, name: string): Promise<Engine> {
  const { places, bed, env, signal } = tools;
  const node = (await reviveNode(tools, name)) ?? (await startNode(tools, name));
  const docker = createDocker(`unix://${node.dockerSocket}`, env, signal);
  if ((await askEngine(docker, signal)).kind !== 'answers') await openSocket(node.dockerSocket, signal);
  const info = await answering(tools, docker);
  return { docker, info, node: (await findPrivateNode(places, bed, name)) ?? node };
}

async function startNode(tools: EngineTools, name: string): Promise<PrivateNode> {
  tools.report.detail(
    `its state: ${tools.places.state}/swarm/${name}; nothing is installed but Debian's docker.io, if it is missing`,
  );
  await tools.bed('swarm.sh', 'up', '--name', name, '--nodes', '1', '--engine', 'host', '--no-host-link');
  const node = await findPrivateNode(tools.places, tools.bed, name);
  if (node === undefined) throw new Error(`the engine '${name}' is up, but swarm.sh does not know it`);
  return node;
}

/** The node as it was left, running again; undefined when there is none, or none that could be saved. */
async function reviveNode(tools: EngineTools, name: string): Promise<PrivateNode | undefined> {
  const { places, bed, report } = tools;
  const node = await findPrivateNode(places, bed, name).catch(() => undefined);
  if (node?.state === 'running') return node;
  try {
    if (node === undefined) throw new Error('not whole');
    report.detail('the private engine does not run (a reboot?); starting it again');
    await bed('swarm.sh', 'node-start', name, '1');
    return await findPrivateNode(places, bed, name);
  } catch {
    const remains = [join(places.state, 'swarm', name), '/run/interlock-bed'].some((path) => existsSync(path));
    // Nothing in it is dear: it is made anew, images and all.
    if (remains) await bed('swarm.sh', 'down', '--name', name);
    return undefined;
  }
}

async function answering(tools: EngineTools, docker: Docker): Promise<EngineInfo> {
  const asked = await askEngine(docker, tools.signal);
  if (asked.kind === 'answers') return asked.info;
  throw new StepFailure(
    `the engine at ${docker.host} does not answer${asked.kind === 'silent' ? `: ${asked.why}` : ': there is no docker command'}`,
    'Start it, or point DOCKER_HOST at another one.',
  );
}
