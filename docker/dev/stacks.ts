/** Deploys and removes stacks. What belongs to a stack carries its name in a label, what core makes for it included. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Docker } from './docker.ts';
import { StepFailure } from './report.ts';

const NAMESPACE = 'com.docker.stack.namespace';
/** On the service that a stack file deploys: what it was deployed from. */
const DEPLOYED = 'com.docker.interlock.up';
const GONE_MS = 60_000;

export interface StackFile {
  readonly stack: string;
  /** Relative to `root`. */
  readonly file: string;
  readonly root: string;
  /** Values for the variables in it. */
  readonly variables: Readonly<Record<string, string>>;
  /** The service that carries the label; must have replicas for the stack to count as deployed. */
  readonly service: string;
}

/** Deploys it unless exactly this is deployed: every deploy writes each service, changed or not. Returns whether it did. */
export async function deployStack(docker: Docker, stack: StackFile): Promise<boolean> {
  const digest = await digestOf(stack);
  const format = `{{index .Spec.Labels "${DEPLOYED}"}} {{with .Spec.Mode.Replicated}}{{.Replicas}}{{end}}`;
  const there = await docker.attempt(['service', 'inspect', '--format', format, `${stack.stack}_${stack.service}`]);
  const [deployed, replicas] = there.stdout.trim().split(' ');
  if (there.code === 0 && deployed === digest && replicas !== '0') return false;
  // Never the registry's image: ours are here, and a lookup without a registry takes 20 s for each service.
  await docker.run(['stack', 'deploy', '--resolve-image', 'never', '--compose-file', stack.file, stack.stack], {
    cwd: stack.root,
    env: { ...stack.variables, INTERLOCK_UP_DIGEST: digest },
  });
  return true;
}

async function digestOf({ file, root, variables }: StackFile): Promise<string> {
  const hash = createHash('sha256').update(await readFile(join(root, file)));
  for (const [name, value] of Object.entries(variables).sort()) hash.update(`${name}=${value}\n`);
  return hash.digest('hex').slice(0, 12);
}

/** Whether anything of that stack is there. */
export async function stackExists(docker: Docker, stack: string): Promise<boolean> {
  return (await contents(docker, stack)).length > 0;
}

/** Removes the stack and waits until nothing of it is left, containers on this node included. Returns what there was. */
export async function removeStack(docker: Docker, stack: string, signal: AbortSignal): Promise<readonly string[]> {
  const found = new Set(await contents(docker, stack));
  const services = new Set(await servicesOf(docker, stack));
  const until = Date.now() + GONE_MS;
  for (let left: readonly string[] = [...found]; left.length > 0; ) {
    // Again and again: while core is still there it may make a service or a config after the list was read.
    const result = await docker.attempt(['stack', 'rm', stack]);
    await sleep(300, undefined, { signal });
    for (const name of await servicesOf(docker, stack)) services.add(name);
    left = [...(await contents(docker, stack)), ...(await containersOf(docker, services))];
    for (const thing of left) if (!thing.startsWith('container ')) found.add(thing);
    if (left.length > 0 && Date.now() > until) {
      throw new StepFailure(
        `still there after ${GONE_MS / 1000} s: ${left.join(', ')}\n${result.stderr.trim()}`,
        'See what uses them (docker network inspect, docker ps -a), then run npm run down again.',
      );
    }
  }
  return [...found];
}

/** Configs of earlier deploys that no service uses any more. */
export async function removeOldConfigs(docker: Docker, stack: string, current: string): Promise<void> {
  const names = await docker.lines([
    'config',
    'ls',
    '--filter',
    `label=${NAMESPACE}=${stack}`,
    '--format',
    '{{.Name}}',
  ]);
  for (const name of names) {
    // The engine refuses to remove one that is in use; the next time is early enough for it.
    if (/^interlock\.[0-9a-f]{12}$/.test(name) && name !== current) await docker.attempt(['config', 'rm', name]);
  }
}

export async function servicesOf(docker: Docker, stack: string): Promise<readonly string[]> {
  return await docker.lines(['service', 'ls', '--filter', `label=${NAMESPACE}=${stack}`, '--format', '{{.Name}}']);
}

async function contents(docker: Docker, stack: string): Promise<readonly string[]> {
  const kinds = ['service', 'config', 'secret', 'network'];
  const lists = await Promise.all(
    kinds.map(async (kind) => {
      const names = await docker.lines([
        kind,
        'ls',
        '--filter',
        `label=${NAMESPACE}=${stack}`,
        '--format',
        '{{.Name}}',
      ]);
      return names.map((name) => `${kind} ${name}`);
    }),
  );
  return lists.flat();
}

async function containersOf(docker: Docker, services: Iterable<string>): Promise<readonly string[]> {
  const lists = await Promise.all(
    [...services].map((name) =>
      docker.lines([
        'ps',
        '--all',
        '--filter',
        `label=com.docker.swarm.service.name=${name}`,
        '--format',
        'container {{.Names}}',
      ]),
    ),
  );
  return lists.flat();
}
