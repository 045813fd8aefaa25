/** From each Snapshot to the newest revision of every cluster's model. A cluster whose content did not change keeps its revision. */

import { type LabelOutcome, parseLabels } from '../labels/parse-labels.ts';
import { type BuiltModels, buildModels, type ClusterDefinition } from '../model/build.ts';
import type { ClusterModel } from '../model/cluster.ts';
import type { Finding } from '../model/finding.ts';
import type { RoutingIntent } from '../model/intent.ts';
import { toPort } from '../model/names.ts';
import { digestModel } from '../model/revision.ts';
import type { Service, Snapshot } from '../model/snapshot.ts';
import type { ReadableCell } from '../runtime/cell.ts';
import { InvariantError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import type { Component } from '../runtime/supervisor.ts';
import type { ExtensionSettings } from '../settings/core-settings.ts';
import type { Board, ExtensionBoard } from './board.ts';

export function createReviser(snapshots: ReadableCell<Snapshot>, board: Board, logger: Logger): Component {
  return {
    name: 'revise',
    async run(signal) {
      let sequence = 0;
      const hops = createHopMemory();
      const extensions = [...board.extensions.values()];
      const definitions = extensions.map(({ settings }) => definitionOf(settings));
      for await (const snapshot of snapshots.watch(signal)) {
        sequence += 1;
        const { built, findings } = modelsOf(snapshot, definitions);
        board.setFindings('routing', findings);
        built.models
          .map((model) => hops.keep(model))
          .forEach((model, position) => {
            const extension = extensions[position];
            if (extension) {
              publishRevision(extension, model, { sequence, versionIndex: snapshot.versionIndex }, logger);
            }
          });
      }
    },
  };
}

/** Clusters whose TLS port has gone through the hop since core started keep it: taking it away resets connections, adding it does not. */
export function createHopMemory(): { keep(model: ClusterModel): ClusterModel } {
  const taken = new Set<string>();
  return {
    keep(model) {
      const { extension, tlsHop } = model.header;
      if (tlsHop) {
        taken.add(extension);
      }
      return tlsHop || !taken.has(extension) ? model : { ...model, header: { ...model.header, tlsHop: true } };
    },
  };
}

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

function publishRevision(
  { model: cell, settings }: ExtensionBoard,
  model: BuiltModels['models'][number],
  order: { readonly sequence: number; readonly versionIndex: number },
  logger: Logger,
): void {
  const digest = digestModel(model);
  if (cell.get()?.revision.digest === digest) {
    return;
  }
  cell.set({ revision: { digest, ...order }, model });
  logger.info(
    {
      serviceCluster: settings.serviceCluster,
      extension: settings.name,
      revision: digest.slice(0, 12),
      hosts: model.hosts.length,
      endpoints: model.pools.reduce((sum, pool) => sum + pool.endpoints.length, 0),
    },
    'model revised',
  );
}

export function definitionOf(settings: ExtensionSettings): ClusterDefinition {
  return {
    proxyServiceName: settings.proxyServiceName,
    networks: settings.networks,
    header: {
      serviceCluster: settings.serviceCluster,
      extension: settings.name,
      configPath: settings.proxyConfigPath,
      listen: { http: port(settings.targetPort), tls: port(settings.targetSslPort) },
      published: {
        http: settings.publishedPort === undefined ? undefined : port(settings.publishedPort),
        tls: settings.publishedSslPort === undefined ? undefined : port(settings.publishedSslPort),
      },
      optionsJson: settings.optionsJson,
    },
  };
}

/** Settings were checked at the door; a port that fails here is a bug there. */
function port(value: number) {
  const checked = toPort(value);
  if (checked === undefined) {
    throw new InvariantError(`settings let a port through that is none: ${value}`);
  }
  return checked;
}
