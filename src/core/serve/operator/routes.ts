/** What each cluster routes: the newest models, and the nodes that their endpoints run on. */
import type { ClusterModel } from '../../../model/cluster.ts';
import { compareText } from '../../../model/cluster.ts';
import type { RoutesReport, RoutesRequest } from '../../../wire/swarm-view.ts';
import type { Board } from '../../board.ts';
import type { StatusParts } from './status.ts';

export interface RoutesParts extends Pick<StatusParts, 'snapshots'> {
  readonly board: Pick<Board, 'extensions'>;
  readonly facts: Pick<StatusParts['facts'], 'epoch'>;
}

export function routesReport({ board, facts, snapshots }: RoutesParts, request: RoutesRequest): RoutesReport {
  const clusters = [...board.extensions.values()]
    .filter(
      ({ settings }) => request.serviceCluster === undefined || settings.serviceCluster === request.serviceCluster,
    )
    .flatMap(({ model }) => model.get() ?? [])
    .map(({ revision, model }) => ({ revision: { ...revision, epoch: facts.epoch }, model }));
  const used = new Set(clusters.flatMap(({ model }) => nodeIdsOf(model)));
  const nodes = (snapshots.get()?.nodes ?? [])
    .filter(({ id }) => used.has(id))
    .map(({ id, hostname, state }) => ({ id, hostname, state }))
    .sort((a, b) => compareText(a.id, b.id));
  return { clusters, nodes };
}

function nodeIdsOf({ pools }: ClusterModel): readonly string[] {
  return pools.flatMap(({ endpoints }) =>
    endpoints.flatMap(({ source }) => (source.kind === 'task' ? [source.nodeId] : [])),
  );
}
