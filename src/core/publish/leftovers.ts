/**
 * Takes away what an earlier config.toml asked for: services and configs of extensions that are gone from it, and services that have
 * another name now. Only what carries our labels and our identity is ours; a foreign service is never touched, nor is one that a table
 * of another name has taken over (`whose.ts`).
 *
 *   look: services that are left, and at the start or beside them the configs
 *     |- gone, or already gone ----> done with it
 *     |- somebody refers to it ----> kept in mind: tried again when a service of ours has changed, or after a while
 *     '- engine in trouble --------> back off, look again
 */
import { createSelection } from '../../model/lists.ts';
import { canonicalJson } from '../../model/revision.ts';
import type { Service, Snapshot } from '../../model/snapshot.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import { createTrigger, type ReadableCell, type Trigger } from '../../runtime/cell.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { ExtensionSettings } from '../../settings/core-settings.ts';
import { waitAtMost } from '../wait-at-most.ts';
import type { Home } from './desired.ts';
import { hasIdentity, isOfHome } from './home-labels.ts';
import { CONFIG_TYPES, LABELS, TYPES } from './names.ts';
import { referredConfigs } from './observe-own.ts';
import type { PublisherTools } from './publishing.ts';

/** Before what somebody else refers to is tried again. */
const HELD_MS = 10 * 60_000;

/** None where core could take away what another such core has made. */
export function createLeftoverRemoval(
  tools: PublisherTools,
  home: Home,
  extensions: readonly ExtensionSettings[],
  snapshots: ReadableCell<Snapshot>,
): readonly Component[] {
  const ownChanged = createTrigger();
  return hasIdentity(home)
    ? [
        {
          name: 'publish.leftovers.changes',
          run: (signal) => fireWhenOursChange(home, snapshots, ownChanged, signal),
        },
        {
          name: 'publish.leftovers',
          run: (signal) => removeWhatIsLeft(tools, { home, extensions, snapshots, ownChanged }, signal),
        },
      ]
    : [];
}

/** Their versions: a roll that begins or ends is a new one. */
async function fireWhenOursChange(
  home: Home,
  snapshots: ReadableCell<Snapshot>,
  trigger: Trigger,
  signal: AbortSignal,
): Promise<void> {
  const oursIn = createSelection<Service>(({ labels }) => isOfOurKind(labels, home));
  let seen: string | undefined;
  for await (const { services } of snapshots.watch(signal)) {
    const versions = canonicalJson(oursIn(services).map(({ id, version }) => [id, version]));
    if (versions !== seen) {
      seen = versions;
      trigger.fire();
    }
  }
}

interface Scope {
  readonly extensions: readonly ExtensionSettings[];
  readonly home: Home;
  readonly snapshots: ReadableCell<Snapshot>;
  readonly ownChanged: Trigger;
}

async function removeWhatIsLeft(tools: PublisherTools, scope: Scope, signal: AbortSignal): Promise<void> {
  const { extensions, home, snapshots, ownChanged } = scope;
  const isLeft = isLeftover(extensions, home);
  let backoff = createBackoff(tools.clock);
  let held: ReadonlyMap<string, string> | undefined;
  await ownChanged.wait(signal);
  for (;;) {
    backoff.begin();
    const services = (snapshots.get()?.services ?? []).filter(isLeft);
    try {
      await removeServices(tools, services, signal);
      // Listed anew only when there may be others: the Engine lists configs with all their bytes.
      const configs: ReadonlyMap<string, string> =
        held === undefined || services.length > 0 ? await leftoverConfigs(tools, scope, signal) : held;
      held = await removeConfigs(tools, configs, held ?? new Map(), signal);
      backoff = createBackoff(tools.clock);
      await waitAtMost(held.size === 0 ? Number.POSITIVE_INFINITY : HELD_MS, ownChanged, tools.clock, signal);
    } catch (error) {
      if (signal.aborted || !isOperational(error)) {
        throw error;
      }
      tools.logger[backoff.streak() === 0 ? 'warn' : 'debug'](
        { area: 'publish', err: toError(error), code: error.code },
        'leftovers could not be removed yet',
      );
      held = undefined; // it may have ended between the services and their configs
      await backoff.wait(signal);
    }
  }
}

/** Pure. */
export function isLeftover(
  extensions: readonly Pick<ExtensionSettings, 'name' | 'serviceName' | 'proxyServiceName'>[],
  home: Home,
): (service: Pick<Service, 'name' | 'labels'>) => boolean {
  const tables = new Set(extensions.map(({ name }) => name));
  const wanted = new Map(
    extensions.flatMap((table): readonly (readonly [string, string])[] => [
      [`${TYPES.extension} ${table.serviceName}`, table.name],
      [`${TYPES.proxy} ${table.proxyServiceName}`, table.name],
    ]),
  );
  return ({ name, labels }) => {
    const table = labels[LABELS.extension] ?? '';
    const wantedBy = wanted.get(`${labels[LABELS.type] ?? ''} ${name}`);
    const isTakenOver = wantedBy !== undefined && !tables.has(table);
    return isOfOurKind(labels, home) && wantedBy !== table && !isTakenOver;
  };
}

function isOfOurKind(labels: Readonly<Record<string, string>>, home: Home): boolean {
  const type = labels[LABELS.type];
  return (
    (type === TYPES.extension || type === TYPES.proxy) &&
    labels[LABELS.extension] !== undefined &&
    hasIdentity(home) &&
    isOfHome(labels, home)
  );
}

async function removeServices(
  { engine, logger }: PublisherTools,
  services: readonly Service[],
  signal: AbortSignal,
): Promise<void> {
  for (const { id, name } of services) {
    await orGone(engine.removeService(id, signal));
    logger.info({ area: 'publish', service: name }, 'service removed: config.toml does not ask for it any more');
  }
}

/** Names by id. */
async function leftoverConfigs(
  { engine }: PublisherTools,
  { extensions, home }: Scope,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const tables = new Set(extensions.map(({ name }) => name));
  const configs = await Promise.all(CONFIG_TYPES.map((type) => engine.listConfigs([`${LABELS.type}=${type}`], signal)));
  return new Map(
    configs
      .flat()
      .filter(({ labels }) => isOfHome(labels, home) && isOfNoTable(labels[LABELS.extension], tables))
      .map(({ id, name }) => [id, name]),
  );
}

function isOfNoTable(table: string | undefined, tables: ReadonlySet<string>): boolean {
  return table !== undefined && !tables.has(table);
}

/** Returns those that are in use, which keep no other from going. They were `held` before: said once. */
async function removeConfigs(
  tools: PublisherTools,
  configs: ReadonlyMap<string, string>,
  held: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const inUse = new Map<string, string>();
  const gonePast = configs.size === 0 ? new Set<string>() : await neededForGoingBack(tools, signal);
  for (const [id, name] of configs) {
    const refusal = gonePast.has(id) ? 'a roll may still go back to it' : await removeConfig(tools, id, signal);
    if (refusal === undefined) {
      tools.logger.info({ area: 'publish', config: name }, 'config removed: config.toml does not ask for it any more');
      continue;
    }
    inUse.set(id, name);
    if (!held.has(id)) {
      tools.logger.info({ area: 'publish', config: name, reason: refusal }, 'config of an earlier config.toml stays');
    }
  }
  return inUse;
}

/**
 * The Engine would let them go: it does not ask for what a roll goes back to when it fails. Swarm says that a service is updating only a
 * moment after the write, so one of which it says nothing may be. What a spec names now is kept as well, or an update could come between.
 */
async function neededForGoingBack({ engine }: PublisherTools, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const services = await engine.listServiceObjects([LABELS.extension], signal);
  return new Set(
    services.flatMap(({ spec, previousSpec, updateState }) =>
      referredConfigs(updateState === 'completed' ? { spec } : { spec, previousSpec }),
    ),
  );
}

/** Returns why not, in the Engine's words. */
async function removeConfig({ engine }: PublisherTools, id: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    await orGone(engine.removeConfig(id, signal));
    return undefined;
  } catch (error) {
    if (!isOperational(error) || error.class === 'retryable') {
      throw error;
    }
    return error.message;
  }
}

/** Somebody else may have removed it. */
async function orGone(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (!isOperational(error, 'ENGINE.NOT_FOUND')) {
      throw error;
    }
  }
}
