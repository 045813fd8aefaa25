/** Every service's labels and the rest of the Snapshot to the models of all clusters: what core does with each Snapshot, and `interlock render` with a saved one. */
import { type BuiltModels, type ClusterDefinition, createModelBuilder } from '../model/build.ts';
import type { Finding } from '../model/finding.ts';
import type { RoutingIntent } from '../model/intent.ts';
import type { Service, Snapshot } from '../model/snapshot.ts';
import { type LabelOutcome, parseLabels } from './parse-labels.ts';

export interface RoutedModels {
  readonly built: BuiltModels;
  /** Of labels and of what they lead to. */
  readonly findings: readonly Finding[];
}

/** Labels in, models and everything wrong with the labels out. Pure. */
export function modelsOf(snapshot: Snapshot, definitions: readonly ClusterDefinition[]): RoutedModels {
  return createRouter(definitions).update(snapshot);
}

/** The same from Snapshot to Snapshot, at the cost of what is different in it. */
export interface Router {
  update(snapshot: Snapshot): RoutedModels;
}

export function createRouter(definitions: readonly ClusterDefinition[]): Router {
  const builder = createModelBuilder(definitions);
  let last: ReadServices | undefined;
  return {
    update(snapshot) {
      last = last?.services === snapshot.services ? last : readServices(snapshot.services);
      const built = builder.update(snapshot, last.intents);
      return { built, findings: [...last.findings, ...built.findings] };
    },
  };
}

interface ReadServices {
  readonly services: readonly Service[];
  readonly intents: readonly RoutingIntent[];
  readonly findings: readonly Finding[];
}

function readServices(services: readonly Service[]): ReadServices {
  const outcomes = services.map(outcomeOf);
  return {
    services,
    intents: outcomes.flatMap((outcome): RoutingIntent[] => (outcome.kind === 'intent' ? [outcome.intent] : [])),
    findings: outcomes.flatMap((outcome) => (outcome.kind === 'not-ours' ? [] : outcome.findings)),
  };
}

/** Tasks change far more often than services, and an unchanged service is the same object in the next Snapshot. */
const outcomesKnown = new WeakMap<Service, LabelOutcome>();

function outcomeOf(service: Service): LabelOutcome {
  const known = outcomesKnown.get(service) ?? parseLabels(service);
  outcomesKnown.set(service, known);
  return known;
}
