/** What happens to a Swarm while the load runs. Each phase ends when the change is over; none waits for the load. */
import { setTimeout as pause } from 'node:timers/promises';
import { request } from 'undici';
import type { Swarm } from '../../support/bed.ts';
import { eventually } from '../../support/eventually.ts';
import { type Interlock, STACK } from '../../support/interlock.ts';

export const APP = 'subject';
export const STEADY = 'steady';

export interface Scene {
  readonly interlock: Interlock;
  readonly swarm: Swarm;
  /** 1: as described; less, to try the bench. */
  readonly times: number;
  /** A task of the application or a node died without notice, and was dead at this time, in ms since the epoch. */
  readonly onDeath: (atMs: number) => void;
}

export interface Phase {
  readonly name: string;
  readonly about: string;
  /** Means nothing in classic mode. */
  readonly hitlessOnly?: true;
  run(scene: Scene): Promise<void>;
}

export const PHASES: readonly Phase[] = [
  { name: 'rest', about: 'nothing changes for 20 s', run: ({ times }) => pause(20_000 * times) },
  {
    name: 'update-start-first',
    about: '10 rolling updates of the application, start-first',
    run: (scene) => rollApp(scene, 'start-first'),
  },
  {
    name: 'update-stop-first',
    about: '10 rolling updates of the application, stop-first',
    run: (scene) => rollApp(scene, 'stop-first'),
  },
  { name: 'scale', about: '40 scale operations, 1 to 8 replicas', run: scaleApp },
  { name: 'labels', about: '10 changes of its labels', run: changeLabels },
  { name: 'task-killed', about: 'a task dies by SIGKILL', run: killTask },
  { name: 'unhealthy', about: "a task's health check fails", run: failHealth },
  {
    name: 'core-killed',
    about: 'core dies and is started again',
    run: ({ interlock }) => killAndBack(interlock, `${STACK}_core`),
  },
  {
    name: 'extension-killed',
    about: 'the extension dies, and a label changes meanwhile',
    run: async (scene) => {
      await killAndBack(scene.interlock, 'interlock-extension');
      await setHosts(scene.interlock, 'after-extension.local');
    },
  },
  {
    name: 'agent-cut',
    about: 'one agent cannot reach core for 30 s while the application is scaled',
    // No agent takes orders then, and the proxy that is cut off is replaced before it can be let back.
    hitlessOnly: true,
    run: cutAgent,
  },
  { name: 'proxy-roll', about: 'the proxy service is rolled by hand', run: rollProxies },
  { name: 'engine-lost', about: "a worker's engine dies and comes back", run: loseEngine },
];

/** A change of the application is on its way to the proxies by then. */
const PUBLISHED_MS = 3_000;

export async function atRest(interlock: Interlock): Promise<void> {
  await eventually(
    async () => {
      const { UpdateStatus } = await interlock.inspectService('interlock-proxy');
      const rolled = UpdateStatus === undefined || UpdateStatus.State === 'completed';
      return rolled && (await interlock.proxies()).length === 2;
    },
    { timeoutMs: 180_000, everyMs: 250 },
  );
  // The last of it may still be on its way to the proxies; it belongs to the phase that caused it.
  await pause(3_000);
}

function repetitions({ times }: Scene, count: number): number {
  return Math.max(1, Math.round(count * times));
}

async function rollApp(scene: Scene, order: 'start-first' | 'stop-first'): Promise<void> {
  const { interlock } = scene;
  for (let count = 0; count < repetitions(scene, 10); count += 1) {
    await interlock.updateService(APP, (spec) => {
      spec['UpdateConfig'] = { Parallelism: 1, Order: order, Monitor: 500_000_000 };
      spec.TaskTemplate.ForceUpdate = (spec.TaskTemplate.ForceUpdate ?? 0) + 1;
    });
    await eventually(async () => (await interlock.inspectService(APP)).UpdateStatus?.State === 'completed', {
      timeoutMs: 120_000,
      everyMs: 250,
    });
  }
}

async function scaleApp(scene: Scene): Promise<void> {
  for (let count = 0; count < repetitions(scene, 40); count += 1) {
    // 2, 7, 4, 1, 6, 3, 8, 5: every size from 1 to 8, up and down.
    await setReplicas(scene.interlock, ((count * 5 + 1) % 8) + 1);
    await pause(3_000);
  }
  await setReplicas(scene.interlock, 3);
  await untilRunning(scene.interlock, 3);
}

async function setReplicas(interlock: Interlock, replicas: number): Promise<void> {
  await interlock.updateService(APP, (spec) => {
    spec.Mode.Replicated = { Replicas: replicas };
  });
}

async function untilRunning(interlock: Interlock, replicas: number): Promise<void> {
  await eventually(
    async () => {
      const tasks = (await interlock.docker.listTasks({
        filters: { service: [APP], 'desired-state': ['running'] },
      })) as unknown as { Status: { State: string } }[];
      return tasks.filter(({ Status }) => Status.State === 'running').length === replicas;
    },
    { timeoutMs: 120_000, everyMs: 250 },
  );
}

async function changeLabels(scene: Scene): Promise<void> {
  for (let count = 0; count < repetitions(scene, 10); count += 1) {
    await setHosts(scene.interlock, `label-${count}.local`);
    await pause(2_000);
  }
}

async function setHosts(interlock: Interlock, more: string): Promise<void> {
  await interlock.updateService(APP, (spec) => {
    spec.Labels['com.docker.lb.hosts'] = `${APP}.local,${more}`;
  });
}

/** By the kernel, where it runs: so that the time of its death is known. */
async function killTask({ interlock, swarm, onDeath }: Scene): Promise<void> {
  const before = await taskIds(interlock);
  const { Id, State } = await interlock.inspectContainer(APP);
  const kill = `kill -KILL ${State.Pid} && date +%s%3N`;
  const { stdout } = await swarm.exec(await nodeOf(interlock, APP, Id), ['bash', '-c', kill]);
  onDeath(Number(stdout));
  await untilReplaced(interlock, before);
}

async function untilReplaced(interlock: Interlock, before: ReadonlySet<string>): Promise<void> {
  await eventually(async () => [...(await taskIds(interlock))].some((id) => !before.has(id)), { timeoutMs: 60_000 });
  await untilRunning(interlock, 3);
}

/** A task that calls itself unhealthy: Swarm kills it and starts another. The image's probe comes often enough for this phase only. */
async function failHealth({ interlock }: Scene): Promise<void> {
  await interlock.updateService(APP, (spec) => {
    spec.TaskTemplate.ContainerSpec['Healthcheck'] = {
      Interval: 1_000_000_000,
      Retries: 2,
      StartPeriod: 30_000_000_000,
      StartInterval: 250_000_000,
    };
  });
  await eventually(async () => (await interlock.inspectService(APP)).UpdateStatus?.State === 'completed', {
    timeoutMs: 120_000,
    everyMs: 250,
  });
  // In classic mode the proxies still roll, and would ask a task of before the update.
  await pause(PUBLISHED_MS);
  await atRest(interlock);
  const before = await taskIds(interlock);
  const [base] = await interlock.proxies();
  const { body } = await request(`${base ?? ''}/unhealthy`, { method: 'POST', headers: { host: `${APP}.local` } });
  await body.dump();
  await untilReplaced(interlock, before);
}

async function taskIds(interlock: Interlock): Promise<ReadonlySet<string>> {
  const tasks = await interlock.docker.listTasks({ filters: { service: [APP], 'desired-state': ['running'] } });
  return new Set((tasks as unknown as { ID: string }[]).map(({ ID }) => ID));
}

async function killAndBack(interlock: Interlock, service: string): Promise<void> {
  await interlock.killTask(service);
  await pause(5_000);
}

async function cutAgent({ interlock, swarm, times }: Scene): Promise<void> {
  const container = await interlock.inspectContainer('interlock-proxy');
  const node = await nodeOf(interlock, 'interlock-proxy', container.Id);
  const rule = ['nsenter', '-t', String(container.State.Pid), '-n', 'iptables'];
  const match = ['OUTPUT', '-p', 'tcp', '-d', await coreAddress(interlock), '-j', 'DROP'];
  await swarm.exec(node, [...rule, '-I', ...match]);
  try {
    await setReplicas(interlock, 5);
    await pause(15_000 * times);
    await setReplicas(interlock, 3);
    await pause(15_000 * times);
  } finally {
    await swarm.exec(node, [...rule, '-D', ...match]);
  }
  await pause(5_000);
}

/** Core's address on the control network. */
async function coreAddress(interlock: Interlock): Promise<string> {
  const { NetworkSettings } = await interlock.inspectContainer(`${STACK}_core`);
  const [network] = Object.values(NetworkSettings.Networks);
  return network?.IPAddress ?? '';
}

/** Index of the node that runs a container of the service. */
async function nodeOf(interlock: Interlock, service: string, containerId: string): Promise<number> {
  const tasks = (await interlock.docker.listTasks({ filters: { service: [service] } })) as unknown as {
    NodeID: string;
    Status: { ContainerStatus?: { ContainerID: string } };
  }[];
  const task = tasks.find(({ Status }) => Status.ContainerStatus?.ContainerID === containerId);
  const node = (await interlock.docker.getNode(task?.NodeID ?? '').inspect()) as {
    Description: { Hostname: string };
  };
  return Number(node.Description.Hostname.replace(/^\D+/, ''));
}

async function rollProxies({ interlock }: Scene): Promise<void> {
  await interlock.updateService('interlock-proxy', (spec) => {
    spec.TaskTemplate.ForceUpdate = (spec.TaskTemplate.ForceUpdate ?? 0) + 1;
  });
  await pause(2_000);
}

async function loseEngine({ swarm, times, onDeath }: Scene): Promise<void> {
  // The link first, as it goes when the power does: ending all that runs on the node takes a while.
  await swarm.link(3, 'down');
  onDeath(Date.now());
  await swarm.killNode(3);
  await pause(15_000 * times);
  await swarm.startNode(3);
}
