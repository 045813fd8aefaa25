/** Every service's labels and the rest of the Snapshot to the models of all clusters: what core does with each Snapshot, and `interlock render` with a saved one. */
import { type BuiltModels, buildModels, type ClusterDefinition } from '../model/build.ts';
import type { Finding } from '../model/finding.ts';
import type { RoutingIntent } from '../model/intent.ts';
import type { Service, Snapshot } from '../model/snapshot.ts';
import { type LabelOutcome, parseLabels } from './parse-labels.ts';

/** Labels in, models and everything wrong with the labels out. Pure. */
export function modelsOf(
  snapshot: Snapshot,
  definitions: readonly ClusterDefinition[],
): { readonly built: BuiltModels; readonly findings: readonly Finding[] } {
  const outcomes = snapshot.services.map(outcomeOf);
  const intents = outcomes.flatMap((outcome): RoutingIntent[] => (outcome.kind === 'intent' ? [outcome.intent] : []));
  const built = buildModels(snapshot, intents, definitions);
  const ofLabels = outcomes.flatMap((outcome) => (outcome.kind === 'not-ours' ? [] : outcome.findings));
  return { built, findings: [...ofLabels, ...built.findings] };
}

/** Tasks change far more often than services, and an unchanged service is the same object in the next Snapshot. */
const outcomesKnown = new WeakMap<Service, LabelOutcome>();

function outcomeOf(service: Service): LabelOutcome {
  const known = outcomesKnown.get(service) ?? parseLabels(service);
  outcomesKnown.set(service, known);
  return known;
}
