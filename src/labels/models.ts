/** Every service's labels and the rest of the Snapshot to the models of all clusters: what core does with each Snapshot, and `interlock render` with a saved one. */
import { type BuiltModels, type ClusterDefinition, createModelBuilder } from '../model/build.ts';
import { sameItems } from '../model/cluster-builder.ts';
import type { Finding } from '../model/finding.ts';
import type { RoutingIntent } from '../model/intent.ts';
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
      last = last?.services === snapshot.services ? last : readServices(snapshot.services);
      wanted = sameOrNew(wanted, withPins(last, pins));
      const built = builder.update(snapshot, wanted);
      return { built, findings: [...last.findings, ...built.findings], routesOf: last.routesOf };
    },
  };
}

function sameOrNew<Item>(before: readonly Item[], next: readonly Item[]): readonly Item[] {
  return sameItems(before, next) ? before : next;
}

function withPins({ intents, services }: ReadServices, pins: Pins): readonly RoutingIntent[] {
  return pins.size === 0
    ? intents
    : [
        ...intents.filter(({ serviceCluster }) => !pins.has(serviceCluster)),
        ...[...pins.values()].flatMap((routes) => pinnedIntents(routes, services)),
      ];
}

interface ReadServices {
  readonly services: readonly Service[];
  readonly intents: readonly RoutingIntent[];
  readonly findings: readonly Finding[];
  readonly routesOf: (serviceCluster: string) => RouteSet;
}

function readServices(services: readonly Service[]): ReadServices {
  const outcomes = services.map(outcomeOf);
  return {
    services,
    intents: outcomes.flatMap((outcome): RoutingIntent[] => (outcome.kind === 'intent' ? [outcome.intent] : [])),
    findings: outcomes.flatMap((outcome) => (outcome.kind === 'not-ours' ? [] : outcome.findings)),
    routesOf: (cluster) => routeSetOf(services.filter((service) => isRoutedIn(cluster, outcomeOf(service)))),
  };
}

function isRoutedIn(serviceCluster: string, outcome: LabelOutcome): boolean {
  return outcome.kind === 'intent' && outcome.intent.serviceCluster === serviceCluster;
}

/** Tasks change far more often than services, and an unchanged service is the same object in the next Snapshot. */
const outcomesKnown = new WeakMap<Service, LabelOutcome>();

function outcomeOf(service: Service): LabelOutcome {
  const known = outcomesKnown.get(service) ?? parseLabels(service);
  outcomesKnown.set(service, known);
  return known;
}
