/** `npm run down`: removes what `up` wrote down, however far it came, and nothing else. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askEngine, createDocker, type Docker } from './docker.ts';
import type { EngineTools } from './engine.ts';
import { stopForwarder } from './forwarder.ts';
import { pruneStages } from './images.ts';
import { StepFailure } from './report.ts';
import { removeStack } from './stacks.ts';
import { openLedger, type UpRecord } from './state.ts';

export async function down(tools: EngineTools): Promise<void> {
  const { report, places } = tools;
  const ledger = await openLedger(places);
  const record = ledger.read();
  if (record === undefined) {
    report.say('nothing to remove: npm run up has made nothing here');
    return;
  }
  const todo = 'See the words above, then run npm run down again: what is gone already does no harm.';
  if (record.engine.kind === 'private') {
    const { name } = record.engine;
    await report.step('private engine', todo, () => downPrivate(tools, name));
  } else {
    const { engine } = record;
    await report.step(`what was made on ${engine.host}`, todo, () => downExisting(tools, record, engine));
  }
  await rm(join(places.state, 'log'), { recursive: true, force: true });
  await ledger.clear();
  report.say('all of it is removed');
  report.detail(
    `kept in ${places.state}: downloads and built layers, so that the next npm run up is quick; delete the folder if you want the space`,
  );
}

async function downPrivate(tools: EngineTools, name: string): Promise<void> {
  const halves = await stopForwarder(tools.places);
  if (halves > 0) tools.report.detail('removed: the forwarder');
  await tools.bed('swarm.sh', 'down', '--name', name);
  tools.report.detail(`removed: the private engine with everything in it`);
}

type Existing = Extract<UpRecord['engine'], { kind: 'existing' }>;

async function downExisting(tools: EngineTools, record: UpRecord, engine: Existing): Promise<void> {
  const { report, signal } = tools;
  const docker = createDocker(engine.host, tools.env, signal);
  const asked = await askEngine(docker, signal);
  if (asked.kind !== 'answers') {
    throw new StepFailure(
      `the engine at ${engine.host} does not answer`,
      'Start it, then run npm run down again. If it is gone for good, remove the folder .interlock/up.',
    );
  }
  if (asked.info.ID !== engine.id) {
    throw new StepFailure(
      `another engine answers at ${engine.host} than the one that npm run up used (${engine.id})`,
      'Nothing was removed from it. If the other one is gone for good, remove the folder .interlock/up.',
    );
  }
  if (asked.info.Swarm?.LocalNodeState === 'active') {
    for (const stack of record.stacks) {
      for (const thing of await removeStack(docker, stack, signal)) report.detail(`removed: ${thing}`);
    }
    if (engine.swarmIsOurs) await leaveSwarm(tools, docker, engine);
  }
  await removeImages(tools, docker, record);
}

/** Not while somebody else's things are in it: they would go with it. */
async function leaveSwarm(tools: EngineTools, docker: Docker, engine: Existing): Promise<void> {
  const foreign = await foreignThings(docker);
  if (foreign.length > 0) {
    tools.report.detail(
      `kept: the Swarm, because there is more in it (${foreign.join(', ')}); to end it: docker swarm leave --force`,
    );
    return;
  }
  await docker.run(['swarm', 'leave', '--force']);
  tools.report.detail('removed: the Swarm that npm run up -- --init-swarm made');
  if (!engine.gatewayIsOurs) return;
  await docker.attempt(['network', 'rm', 'docker_gwbridge']);
}

async function foreignThings(docker: Docker): Promise<readonly string[]> {
  const kinds = ['service', 'config', 'secret'];
  const lists = await Promise.all(
    kinds.map(async (kind) =>
      (await docker.lines([kind, 'ls', '--format', '{{.Name}}'])).map((name) => `${kind} ${name}`),
    ),
  );
  const networks = await docker.lines(['network', 'ls', '--filter', 'scope=swarm', '--format', '{{.Name}}']);
  const nodes = await docker.lines(['node', 'ls', '--quiet']);
  return [
    ...lists.flat(),
    ...networks.filter((name) => name !== 'ingress').map((name) => `network ${name}`),
    ...(nodes.length > 1 ? [`${nodes.length - 1} more nodes`] : []),
  ];
}

async function removeImages({ report, signal }: EngineTools, docker: Docker, record: UpRecord): Promise<void> {
  for (const image of record.images) {
    if ((await docker.attempt(['image', 'inspect', '--format', '{{.Id}}', image])).code !== 0) continue;
    const removed = await removeImage(docker, image, signal);
    report.detail(removed ? `removed: image ${image}` : `kept: image ${image}, because a container uses it`);
  }
  if (record.images.length > 0) await pruneStages(docker);
  if (record.builtWithBuildKit) report.detail("kept: BuildKit's cache; docker builder prune empties it");
}

/** A container that has just ended may hold on to its image a moment longer. */
async function removeImage(docker: Docker, image: string, signal: AbortSignal): Promise<boolean> {
  for (let tries = 0; tries < 10; tries += 1) {
    const result = await docker.attempt(['image', 'rm', image]);
    if (result.code === 0 || /no such image/i.test(result.stderr)) return true;
    await sleep(300, undefined, { signal });
  }
  return false;
}
