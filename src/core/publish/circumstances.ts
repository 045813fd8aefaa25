/** What the next plan has to go by besides what was observed in Swarm: the mode of delivery, what is needed, what is due. */
import { createFinding, type Finding } from '../../model/finding.ts';
import { canonicalJson, sha256Hex } from '../../model/revision.ts';
import { type Network, type Snapshot, tasksOf } from '../../model/snapshot.ts';
import type { Cell } from '../../runtime/cell.ts';
import type { ExtensionSettings } from '../../settings/core-settings.ts';
import type { DeliveryState, ExtensionBoard, Rendered } from '../board.ts';
import type { AgentPresence } from './agent-watch.ts';
import { type Attachments, attachmentsOf, unusedIds } from './attachments.ts';
import type { Delivery, SpecJson } from './desired.ts';
import type { Json } from './merge.ts';
import { LABELS } from './names.ts';
import { placed, placementFindings } from './placement.ts';
import { appliedSpec, type Desired, mountedBy, neededBy, newest, type Observed, offeredNetwork } from './plan.ts';
import type { LastGood, Publishing } from './publishing.ts';

export interface Circumstances {
  readonly desired: Desired;
  /** Until the newest artifact is stored for its own sake. */
  readonly storeInMs: number;
  /** Until pending networks and secrets are worth a roll. */
  readonly gatherMs: number;
  /** Until something becomes due by time alone. */
  readonly holdMs: number | undefined;
  readonly findings: readonly Finding[];
}

/** Also tells the board. The watches learn from it, so it is called once per pass. */
export function lookAround(publishing: Publishing, snapshot: Snapshot, observed: Observed): Circumstances {
  const { board, extension, home, watches, patience, clock, memory } = publishing;
  const tables = [...board.extensions.values()].map((table) => table.settings);
  const workers = watches.workers.look(snapshot.nodes, standIn(publishing, snapshot, observed, tables));
  const settings = placed(extension.settings, snapshot, tables, workers.areLost);
  const agents = extension.agents.get();
  const running = runningTasks(snapshot, observed.proxy?.id);
  const { presence, holdMs } = watches.agents.look({
    running,
    agents,
    coreWasReached: extension.rendered.get() !== undefined,
  });
  const mode = settings.hitless && presence !== 'absent' ? 'hitless' : 'classic';
  const delivery = deliveryOf(extension, mode, watches.lastGood, running);
  const wants = { settings, home, tokens: extension.tokens.get() ?? null, ...swarmNames(snapshot) };
  const needed = delivery && neededBy(wants, delivery);
  noteNeeds(publishing, observed, needed);
  watches.store.note(unstored(delivery, observed));
  tellBoard(publishing, observed, {
    mode,
    presence,
    delivery,
    pending: pendingNames(publishing, snapshot, observed, needed),
  });
  return {
    desired: {
      ...wants,
      delivery,
      mode,
      overdue: watches.unused.overdue(patience.networkLingerMs),
      plainLimitBytes: memory.plainLimitBytes(),
      mayPack: presence !== 'absent',
      nowMs: clock.now(),
      refreshAfterMs: refreshAfter(settings.name, patience.proxyConfigRefreshMs),
      takenSequence: memory.takenSequence(),
    },
    storeInMs: watches.store.dueInMs(),
    gatherMs: mode === 'hitless' ? watches.gather.dueInMs() : 0,
    holdMs: earliest([holdMs, watches.unused.dueInMs(patience.networkLingerMs), workers.dueInMs]),
    findings: [
      ...withoutAgent(extension, presence),
      ...unknownNetworks(publishing, wants.networks, snapshot.networks),
      ...placementFindings(extension.settings, snapshot),
    ],
  };
}

/** One of both services could be bound to workers, and what was applied does not bind it. */
function standIn(
  { extension }: Publishing,
  snapshot: Snapshot,
  observed: Observed,
  tables: readonly ExtensionSettings[],
): boolean {
  const { settings } = extension;
  const usual = placed(settings, snapshot, tables);
  return (
    (usual.constraints !== settings.constraints && isAnywhere(appliedSpec(observed.extension))) ||
    (usual.proxyConstraints !== settings.proxyConstraints && isAnywhere(appliedSpec(observed.proxy)))
  );
}

/** An applied spec that says nothing about nodes. */
function isAnywhere(applied: SpecJson | undefined): boolean {
  const placement = member(member(applied, 'TaskTemplate'), 'Placement');
  return placement !== undefined && member(placement, 'Constraints') === undefined;
}

function member(value: Json | undefined, key: string): Json | undefined {
  return typeof value === 'object' && value !== null && key in value ? (value as SpecJson)[key] : undefined;
}

/** The smallest of those that are set. */
export function earliest(holds: readonly (number | undefined)[]): number | undefined {
  const set = holds.filter((ms) => ms !== undefined);
  return set.length === 0 ? undefined : Math.min(...set);
}

/**
 * In hitless mode a new artifact that needs nothing new is with the agents already: nothing has to be read from the Engine for it.
 * Returns when it is due to be stored, in ms.
 */
export function noteArtifact({ extension, watches }: Publishing): number {
  const rendered = extension.rendered.get();
  const published = extension.published.get();
  if (rendered === undefined) {
    return 0;
  }
  watches.store.note(rendered.artifact.digest);
  if (published !== undefined) {
    setIfChanged(extension.published, { ...published, artifactDigest: rendered.artifact.digest });
  }
  return watches.store.dueInMs();
}

/** Ids of a service's tasks that run and shall run. */
export function runningTasks(snapshot: Snapshot, serviceId: string | undefined): readonly string[] {
  return (serviceId === undefined ? [] : tasksOf(snapshot, serviceId))
    .filter((task) => task.state === 'running' && task.desiredState === 'running')
    .map(({ id }) => id);
}

/**
 * What the agents refuse (and none of them serves) must not reach a task that starts, nor what was checked in part only: the one before
 * it goes on.
 */
function deliveryOf(
  extension: ExtensionBoard,
  mode: DeliveryState['mode'],
  lastGood: LastGood,
  running: readonly string[],
): Delivery | undefined {
  const checked = newestChecked(extension);
  // A session may name any task: only those that Swarm runs have a say here.
  const sessions = (extension.agents.get()?.sessions ?? []).filter(({ taskId }) => running.includes(taskId));
  const digest = checked?.artifact.digest;
  const isRefused =
    mode === 'hitless' &&
    sessions.some(({ refused }) => refused !== undefined && refused.artifactDigest === digest) &&
    !sessions.some(({ artifactDigest }) => artifactDigest === digest);
  if (checked === undefined || isRefused) {
    return lastGood.get(isRefused ? digest : undefined);
  }
  lastGood.set(checked);
  return checked;
}

/** Changes may come faster than a whole file is checked: then it is an older one than the agents have. */
function newestChecked(extension: ExtensionBoard): Rendered | undefined {
  const [rendered, confirmed] = [extension.rendered.get(), extension.confirmed.get()];
  const isChecked = rendered?.checkPending !== true || rendered.artifact.digest === confirmed?.artifact.digest;
  return isChecked ? rendered : confirmed;
}

function swarmNames({ secrets, networks }: Snapshot): Pick<Desired, 'secrets' | 'networks'> {
  return {
    secrets: new Map(secrets.map(({ name, id }) => [name, id])),
    networks: new Map(networks.filter(canBeJoined).map(({ name, id }) => [name, id])),
  };
}

/**
 * The Engine lists its own node's networks too, also one that has the name of an overlay. Swarm refuses those, and the ingress network, to
 * services. It takes `bridge` and `host`, which every node has: but a proxy on `host` can be on no other network, core's neither, and of
 * an address on `bridge` Swarm knows nothing, so nothing could be routed there.
 */
function canBeJoined({ scope, ingress }: Network): boolean {
  return scope === 'swarm' && !ingress;
}

function noteNeeds({ watches }: Publishing, { proxy }: Observed, needed: Attachments | undefined): void {
  const applied = appliedSpec(proxy);
  if (needed === undefined || applied === undefined) {
    return;
  }
  const attached = attachmentsOf(applied);
  const missing = unusedIds(attached, needed);
  watches.unused.note(unusedIds(needed, attached));
  watches.gather.note(missing.length === 0 ? undefined : canonicalJson(missing));
}

/** `undefined` when a Docker Config holds it. */
function unstored(delivery: Delivery | undefined, { configs }: Observed): string | undefined {
  const digest = delivery?.artifact.digest;
  return configs.some(({ labels }) => labels[LABELS.digest] === digest) ? undefined : digest;
}

interface Told {
  readonly mode: DeliveryState['mode'];
  readonly presence: AgentPresence;
  readonly delivery: Delivery | undefined;
  readonly pending: DeliveryState['pending'];
}

function tellBoard({ extension, memory }: Publishing, { proxy, configs }: Observed, told: Told): void {
  const { mode, presence, delivery, pending } = told;
  const mounted = mountedBy(appliedSpec(proxy));
  const served = mode === 'hitless' && presence === 'present' ? delivery?.artifact.digest : mounted?.digest;
  if (served !== undefined && mounted !== undefined) {
    setIfChanged(extension.published, { artifactDigest: served, configName: mounted.config.name });
  }
  setIfChanged(extension.delivery, {
    mode,
    fallback: mode === 'classic' && extension.settings.hitless ? 'no agent of the proxies has a session' : undefined,
    pending,
    rolling: proxy !== undefined && memory.isRolling(proxy),
    storedConfigName: newest(configs)?.name,
  });
}

function setIfChanged<Value>(cell: Cell<Value>, value: Value): void {
  if (canonicalJson(cell.get()) !== canonicalJson(value)) {
    cell.set(value);
  }
}

/** By name; what a roll brings is pending until it is done. */
function pendingNames(
  { memory }: Publishing,
  snapshot: Snapshot,
  { proxy }: Observed,
  needed: Attachments | undefined,
): DeliveryState['pending'] {
  if (needed === undefined) {
    return { networks: [], secrets: [] };
  }
  const isRolling = proxy?.previousSpec !== undefined && memory.isRolling(proxy);
  // Safe: the Engine's JSON.
  const specs = [appliedSpec(proxy), ...(isRolling ? [proxy.previousSpec as Json] : [])];
  const missing = new Set(specs.flatMap((spec) => unusedIds(attachmentsOf(spec), needed)));
  const networkNames = new Map(snapshot.networks.map(({ id, name }) => [id, name]));
  return {
    networks: needed.networkIds.filter((id) => missing.has(id)).map((id) => networkNames.get(id) ?? id),
    secrets: needed.secrets.filter(({ id }) => missing.has(id)).map(({ name }) => name),
  };
}

/** Up to a tenth later, differently for each extension: clusters that started together do not roll together. */
function refreshAfter(extension: string, everyMs: number): number | undefined {
  const share = Number.parseInt(sha256Hex(extension).slice(0, 8), 16) / 2 ** 32;
  return everyMs === 0 ? undefined : everyMs * (1 + share / 10);
}

/** Nothing to complain about where this core takes no sessions at all. */
function withoutAgent({ settings, agents }: ExtensionBoard, presence: AgentPresence): readonly Finding[] {
  return presence === 'absent' && settings.hitless && agents.get() !== undefined
    ? [
        createFinding(
          'PUBLISH.NO_AGENT_SESSION',
          'The proxies have opened no session with core: the image has no agent, or core cannot be reached from the control network. Each change rolls the service until they do. Use our proxy image, or write HitlessServiceUpdate = false.',
          { service: settings.proxyServiceName, serviceCluster: settings.serviceCluster },
        ),
      ]
    : [];
}

function unknownNetworks(
  { extension: { settings }, home }: Publishing,
  joinable: ReadonlyMap<string, string>,
  all: readonly Network[],
): readonly Finding[] {
  return (settings.networks ?? [])
    .filter((name) => offeredNetwork(name, joinable, home) === undefined)
    .map((name) =>
      createFinding(
        'PUBLISH.NETWORK_UNKNOWN',
        all.some((network) => network.name === name)
          ? 'The network of this name is no overlay network that services share: it is of one node alone, or the ingress network. Name another, or take it out of Networks.'
          : 'The Swarm has no network of this name: create it, or take it out of Networks.',
        {
          service: settings.proxyServiceName,
          serviceCluster: settings.serviceCluster,
          subject: `Extensions.${settings.name}.Networks`,
          value: name,
        },
      ),
    );
}
