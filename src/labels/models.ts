/** Every service's labels and the rest of the Snapshot to the models of all clusters: what core does with each Snapshot, and `interlock render` with a saved one. */
import { type BuiltModels, type ClusterDefinition, createModelBuilder } from '../model/build.ts';
import { compareText } from '../model/cluster.ts';
import type { Finding } from '../model/finding.ts';
import type { RoutingIntent } from '../model/intent.ts';
import { editBetween, exchanged, FEW, keepList, type ListEdit, replaced } from '../model/lists.ts';
import type { RouteSet } from '../model/routes.ts';
import type { Service, Snapshot } from '../model/snapshot.ts';
import { type LabelOutcome, parseLabels } from './parse-labels.ts';
import { pinnedIntents, routeSetOf } from './route-sets.ts';

export interface RoutedModels {
  readonly built: BuiltModels;
  /** Of labels and of what they lead to. */
  readonly findings: readonly Finding[];
  /** What the labels of a service cluster ask for, pinned or not. Worked out when asked for; the same function while services are the same. */
  readonly routesOf: (serviceCluster: string) => RouteSet;
}

/** By service cluster: the route set that stands in for what the labels of its services say. */
export type Pins = ReadonlyMap<string, RouteSet>;

const NO_PINS: Pins = new Map();

/** Labels in, models and everything wrong with the labels out. Pure. */
export function modelsOf(
  snapshot: Snapshot,
  definitions: readonly ClusterDefinition[],
  pins: Pins = NO_PINS,
): RoutedModels {
  return createRouter(definitions).update(snapshot, pins);
}

/** The same from Snapshot to Snapshot, at the cost of what is different in it. */
export interface Router {
  /** Default: nothing is pinned. */
  update(snapshot: Snapshot, pins?: Pins): RoutedModels;
}

export function createRouter(definitions: readonly ClusterDefinition[]): Router {
  const builder = createModelBuilder(definitions);
  let last: ReadServices | undefined;
  let wanted: readonly RoutingIntent[] = [];
  return {
    update(snapshot, pins = NO_PINS) {
      last = last?.services === snapshot.services ? last : readServices(snapshot.services, last);
      wanted = pins.size === 0 ? last.intents : keepList(wanted, withPins(last, pins));
      const built = builder.update(snapshot, wanted);
      return { built, findings: [...last.findings, ...built.findings], routesOf: last.routesOf };
    },
  };
}

function withPins({ intents, services }: ReadServices, pins: Pins): readonly RoutingIntent[] {
  return [
    ...intents.filter(({ serviceCluster }) => !pins.has(serviceCluster)),
    ...[...pins.values()].flatMap((routes) => pinnedIntents(routes, services)),
  ];
}

interface ReadServices {
  readonly services: readonly Service[];
  /** In the order of the services. */
  readonly outcomes: readonly LabelOutcome[];
  /** In no particular order. */
  readonly intents: readonly RoutingIntent[];
  readonly findings: readonly Finding[];
  /** By service cluster: those that somebody asked for. */
  readonly routes: Map<string, RouteSet>;
  readonly routesOf: (serviceCluster: string) => RouteSet;
}

/** `last`: of other services; what both have in common is not looked at again. */
function readServices(services: readonly Service[], last: ReadServices | undefined): ReadServices {
  const edit = editBetween(last?.services ?? [], services);
  const before = last?.outcomes ?? [];
  const removed = before.slice(edit.at, edit.at + edit.removed.length);
  const added = edit.added.map(outcomeOf);
  const outcomes = [...before.slice(0, edit.at), ...added, ...before.slice(edit.at + removed.length)];
  const isFew = last !== undefined && removed.length + added.length <= FEW;
  const intents = isFew
    ? replaced(last.intents, { removed: removed.flatMap(intentsIn), added: added.flatMap(intentsIn) })
    : outcomes.flatMap(intentsIn);
  const isSilent = [...removed, ...added].every((outcome) => findingsIn(outcome).length === 0);
  const findings = isFew && isSilent ? last.findings : outcomes.flatMap(findingsIn);
  const routes = new Map<string, RouteSet>();
  const routesOf = rememberRoutes({ services, edit, last: last?.routes, routes });
  return { services, outcomes, intents, findings, routes, routesOf };
}

function intentsIn(outcome: LabelOutcome): readonly RoutingIntent[] {
  return outcome.kind === 'intent' ? [outcome.intent] : [];
}

function findingsIn(outcome: LabelOutcome): readonly Finding[] {
  return outcome.kind === 'not-ours' ? [] : outcome.findings;
}

interface RoutesMemory {
  readonly services: readonly Service[];
  readonly edit: ListEdit<Service>;
  /** Of the services before the edit. */
  readonly last: ReadonlyMap<string, RouteSet> | undefined;
  readonly routes: Map<string, RouteSet>;
}

/** History asks several times for those of one cluster, and for all of them after each change of one service. */
function rememberRoutes({ services, edit, last, routes }: RoutesMemory): ReadServices['routesOf'] {
  const routedIn = (cluster: string, list: readonly Service[]): RouteSet =>
    routeSetOf(list.filter((service) => isRoutedIn(cluster, outcomeOf(service))));
  const work = (cluster: string): RouteSet => {
    const before = last?.get(cluster);
    if (before === undefined || edit.removed.length + edit.added.length > FEW) {
      return routedIn(cluster, services);
    }
    const added = routedIn(cluster, edit.added).services;
    const next = exchanged(before.services, byName, { removed: edit.removed, added });
    return next === before.services ? before : { services: next };
  };
  return (cluster) => {
    const known = routes.get(cluster) ?? work(cluster);
    routes.set(cluster, known);
    return known;
  };
}

function byName({ name: a }: { readonly name: string }, { name: b }: { readonly name: string }): number {
  return compareText(a, b);
}

function isRoutedIn(serviceCluster: string, outcome: LabelOutcome): boolean {
  return outcome.kind === 'intent' && outcome.intent.serviceCluster === serviceCluster;
}

/** Tasks change far more often than services, and an unchanged service is the same object in the next Snapshot. */
const outcomesKnown = new WeakMap<Service, LabelOutcome>();

function outcomeOf(service: Service): LabelOutcome {
  const known = outcomesKnown.get(service);
  if (known !== undefined) {
    return known;
  }
  const outcome = parseLabels(service);
  outcomesKnown.set(service, outcome);
  return outcome;
}
