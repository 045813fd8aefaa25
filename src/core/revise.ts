/** From each Snapshot to the newest revision of every cluster's model. A cluster whose content did not change keeps its revision. */

import { createRouter } from '../labels/models.ts';
import type { BuiltModels } from '../model/build.ts';
import type { ClusterModel } from '../model/cluster.ts';
import { digestModel } from '../model/revision.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { ReadableCell } from '../runtime/cell.ts';
import type { Logger } from '../runtime/logging.ts';
import type { Component } from '../runtime/supervisor.ts';
import { definitionOf } from '../settings/cluster-definition.ts';
import type { Board, ExtensionBoard } from './board.ts';

export function createReviser(snapshots: ReadableCell<Snapshot>, board: Board, logger: Logger): Component {
  return {
    name: 'revise',
    async run(signal) {
      let sequence = 0;
      const hops = createHopMemory();
      const extensions = [...board.extensions.values()];
      const router = createRouter(extensions.map(({ settings }) => definitionOf(settings)));
      for await (const snapshot of snapshots.watch(signal)) {
        sequence += 1;
        const { built, findings } = router.update(snapshot);
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
