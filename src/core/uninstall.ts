/**
 * `interlock uninstall`: takes away what core made in Swarm (services, Proxy Configs, token secrets), of one stack or, where core ran
 * outside of any, of named extensions. Everything is known by core's own labels; a foreign object is never touched, nor are networks,
 * certificates and the configs of core itself, which are the operator's.
 *
 *   find --nothing--> done
 *     |--core still runs--> stop and say how to end it: it would make everything again
 *     |--dry run--> say what would go
 *     '--asked, yes--> services, then what only they referred to
 */
import { isOperational } from '../runtime/errors.ts';
import { TOKEN_LABELS, TOKEN_TYPE } from './access/names.ts';
import type { EngineApi, ServiceObject } from './engine/engine-api.ts';
import { CONFIG_TYPES, LABELS, TYPES } from './publish/names.ts';

/** Whose things go. Outside of a stack several cores may share a Swarm, so their extensions are named. */
export type Owner =
  | { readonly kind: 'stack'; readonly stack: string }
  /** `core`: what this core made, by the name of its service; needed where several made things for these extensions. */
  | { readonly kind: 'extensions'; readonly extensions: readonly string[]; readonly core?: string | undefined };

export interface UninstallOptions {
  readonly owner: Owner;
  /** Say what would go, and remove nothing. */
  readonly dryRun: boolean;
  /** Asked once, with the list of what goes; `false`: nothing is removed. */
  readonly confirm: (list: string) => Promise<boolean>;
}

export interface UninstallOutcome {
  readonly exitCode: number;
  /** For standard output; ends with a line break. */
  readonly text: string;
  readonly facts: UninstallFacts;
}

/** The same for scripts. */
export interface UninstallFacts {
  readonly outcome:
    | 'nothing-there'
    | 'would-remove'
    | 'several-cores'
    | 'core-runs'
    | 'declined'
    | 'removed'
    | 'incomplete';
  readonly objects: readonly {
    readonly kind: Item['kind'];
    readonly name: string;
    readonly state: 'there' | 'removed' | 'already-gone';
    /** Why it is still there, in the words of the Engine. */
    readonly reason?: string;
  }[];
  /** `core-runs`: services that may be core and still run; `several-cores`: those whose things they are. */
  readonly cores?: readonly string[];
}

export type UninstallEngine = Pick<
  EngineApi,
  | 'listServiceObjects'
  | 'listServices'
  | 'listTasks'
  | 'listConfigs'
  | 'listSecrets'
  | 'removeService'
  | 'removeConfig'
  | 'removeSecret'
>;

interface Item {
  readonly kind: 'service' | 'config' | 'secret';
  readonly id: string;
  readonly name: string;
  /** The service of the core outside of any stack that made it. */
  readonly core: string | undefined;
}

/** Exit code 1: core still runs, the answer was no, or something could not be removed. @throws OperationalError `ENGINE.*`. */
export async function uninstall(
  engine: UninstallEngine,
  { owner, dryRun, confirm }: UninstallOptions,
  signal: AbortSignal,
): Promise<UninstallOutcome> {
  const services = (await engine.listServiceObjects([LABELS.extension], signal)).filter(isOurService(owner));
  const items = [...services.map(itemOf('service')), ...(await findBlobs(engine, owner, signal))];
  if (items.length === 0) {
    const text = `nothing of ${ownerText(owner)} is left in this Swarm\n`;
    return { exitCode: 0, text, facts: { outcome: 'nothing-there', objects: [] } };
  }
  const makers = [...new Set(items.flatMap(({ core }) => core ?? []))].sort();
  if (makers.length > 1) {
    return { exitCode: 1, text: severalCores(makers), facts: { outcome: 'several-cores', objects: [], cores: makers } };
  }
  const objects = items.map(({ kind, name }) => ({ kind, name, state: 'there' as const }));
  const list = items.map(({ kind, name }) => `  ${kind} ${name}\n`).join('');
  if (dryRun) {
    return { exitCode: 0, text: `would remove\n${list}`, facts: { outcome: 'would-remove', objects } };
  }
  const running = await runningCores(engine, owner, services, signal);
  if (running.length > 0) {
    return { exitCode: 1, text: coreRuns(running), facts: { outcome: 'core-runs', objects, cores: running } };
  }
  if (!(await confirm(`This removes\n${list}`))) {
    return { exitCode: 1, text: 'nothing was removed\n', facts: { outcome: 'declined', objects } };
  }
  const results = await removeAll(engine, items, signal);
  const isDone = results.every(({ state }) => state !== 'there');
  return {
    exitCode: isDone ? 0 : 1,
    text: results.map((result) => `${lineOf(result)}\n`).join(''),
    facts: { outcome: isDone ? 'removed' : 'incomplete', objects: results },
  };
}

function isOwned(owner: Owner, labels: Readonly<Record<string, string>>): boolean {
  const extension = labels[LABELS.extension];
  const stack = labels[LABELS.stack];
  if (owner.kind === 'stack') {
    return stack === owner.stack && extension !== undefined;
  }
  const isOfCore = owner.core === undefined || labels[LABELS.coreService] === owner.core;
  return stack === undefined && extension !== undefined && owner.extensions.includes(extension) && isOfCore;
}

function isOurService(owner: Owner): (service: ServiceObject) => boolean {
  return ({ labels }) => {
    const type = labels[LABELS.type];
    return (type === TYPES.extension || type === TYPES.proxy) && isOwned(owner, labels);
  };
}

/** Configs before secrets; both after the services, because Swarm keeps what a service refers to. */
async function findBlobs(engine: UninstallEngine, owner: Owner, signal: AbortSignal): Promise<readonly Item[]> {
  const configs = (
    await Promise.all(CONFIG_TYPES.map((type) => engine.listConfigs([`${LABELS.type}=${type}`], signal)))
  ).flat();
  const secrets = await engine.listSecrets(signal);
  const tokens = secrets.filter(({ labels }) => labels[TOKEN_LABELS.type] === TOKEN_TYPE);
  return [
    ...configs.filter(({ labels }) => isOwned(owner, labels)).map(itemOf('config')),
    ...tokens.filter(({ labels }) => isOwned(owner, labels)).map(itemOf('secret')),
  ];
}

function itemOf(
  kind: Item['kind'],
): (object: Pick<Item, 'id' | 'name'> & { readonly labels: Readonly<Record<string, string>> }) => Item {
  return ({ id, name, labels }) => ({ kind, id, name, core: labels[LABELS.coreService] });
}

/**
 * Names of services that may be core and still run: the one that ours dial (`tasks.<name>:port`), and every service that is not ours and
 * has an image of core, in the stack; outside of any, where ours dial another address (`EndpointOverride`), of those of no stack.
 */
async function runningCores(
  engine: UninstallEngine,
  owner: Owner,
  services: readonly ServiceObject[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const dialled = new Set(services.flatMap(dialledService));
  const isElsewhere = services.length > 0 && dialled.size === 0;
  const others = owner.kind === 'stack' || isElsewhere ? await neighbours(engine, owner, signal) : [];
  const cores = new Set([...dialled, ...others.filter(looksLikeCore).map(({ name }) => name)]);
  const candidates = (await engine.listServices(signal)).filter(({ name }) => cores.has(name));
  const tasks = await engine.listTasks(signal, { serviceIds: candidates.map(({ id }) => id) });
  const wanted = candidates.filter(({ mode }) => mode.kind !== 'replicated' || mode.replicas > 0);
  const busy = new Set(tasks.filter(({ state }) => state === 'running').map(({ serviceId }) => serviceId));
  return [...new Set([...wanted, ...candidates.filter(({ id }) => busy.has(id))])].map(({ name }) => name);
}

async function neighbours(
  engine: UninstallEngine,
  owner: Owner,
  signal: AbortSignal,
): Promise<readonly ServiceObject[]> {
  if (owner.kind === 'stack') {
    return engine.listServiceObjects([`${LABELS.stack}=${owner.stack}`], signal);
  }
  return (await engine.listServiceObjects([], signal)).filter(({ labels }) => labels[LABELS.stack] === undefined);
}

function dialledService({ spec }: ServiceObject): readonly string[] {
  const env = member(containerOf(spec), 'Env');
  return (Array.isArray(env) ? env : []).flatMap((entry: unknown) => {
    const name = typeof entry === 'string' ? /^INTERLOCK_ENDPOINT=tasks\.([^:]+):/.exec(entry)?.[1] : undefined;
    return name === undefined ? [] : [name];
  });
}

function looksLikeCore({ spec, labels }: ServiceObject): boolean {
  const image = member(containerOf(spec), 'Image');
  const isOurs = labels[LABELS.extension] !== undefined;
  return (
    !isOurs && typeof image === 'string' && /(?:^|\/)(?:interlock\/core|ucp-interlock|interlock)(?:[:@]|$)/.test(image)
  );
}

function containerOf(spec: ServiceObject['spec']): unknown {
  return member(member(spec, 'TaskTemplate'), 'ContainerSpec');
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

type Result = UninstallFacts['objects'][number];

/** What one object's removal meets keeps no other from going. */
async function removeAll(
  engine: UninstallEngine,
  items: readonly Item[],
  signal: AbortSignal,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const item of items) {
    results.push(await removeOne(engine, item, signal));
  }
  return results;
}

async function removeOne(engine: UninstallEngine, { kind, id, name }: Item, signal: AbortSignal): Promise<Result> {
  const remove = { service: engine.removeService, config: engine.removeConfig, secret: engine.removeSecret }[kind];
  try {
    await remove(id, signal);
    return { kind, name, state: 'removed' };
  } catch (error) {
    if (isOperational(error, 'ENGINE.NOT_FOUND')) {
      return { kind, name, state: 'already-gone' };
    }
    if (!isOperational(error) || error.class === 'retryable') {
      throw error;
    }
    return { kind, name, state: 'there', reason: error.message };
  }
}

function lineOf({ kind, name, state, reason }: Result): string {
  switch (state) {
    case 'removed':
      return `removed ${kind} ${name}`;
    case 'already-gone':
      return `already gone: ${kind} ${name}`;
    case 'there':
      return `NOT removed: ${kind} ${name}: ${reason ?? ''}`;
  }
}

function ownerText(owner: Owner): string {
  return owner.kind === 'stack' ? `the stack ${owner.stack}` : `the extensions ${owner.extensions.join(', ')}`;
}

function severalCores(names: readonly string[]): string {
  const list = names.map((name) => `  --core ${name}\n`).join('');
  return `several cores made things for these extensions. Say whose are to go:\n${list}Nothing was removed.\n`;
}

function coreRuns(names: readonly string[]): string {
  const commands = names.map((name) => `  docker service rm ${name}\n`).join('');
  return `core still runs and would make everything again. Remove it first:\n${commands}then say this again. Nothing was removed.\n`;
}
