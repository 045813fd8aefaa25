/** Routes for operators <-> bytes. */
import { at, each, type Place, place, present } from './door.ts';
import type { ClusterModelMessage, RevisionMessage } from './messages.ts';
import { modelMessage, modelOf } from './model-codec.ts';
import { messageType } from './proto.ts';
import { revisionMessage, revisionOf } from './revision-codec.ts';
import type { ClusterRoutes, NodeView, RoutesReport, RoutesRequest } from './swarm-view.ts';

interface ClusterRoutesMessage {
  readonly revision: RevisionMessage | null;
  readonly model: ClusterModelMessage | null;
}

const REQUEST = messageType<{ readonly serviceCluster?: string }>('interlock.v1.RoutesRequest');
const REPLY = messageType<{ readonly clusters: readonly ClusterRoutesMessage[]; readonly nodes: readonly NodeView[] }>(
  'interlock.v1.RoutesReply',
);

export function encodeRoutesRequest({ serviceCluster }: RoutesRequest): Buffer {
  return REQUEST.encode(serviceCluster === undefined ? {} : { serviceCluster });
}

/** Throws `WIRE.MALFORMED`. */
export function decodeRoutesRequest(bytes: Uint8Array): RoutesRequest {
  return { serviceCluster: REQUEST.decode(bytes).serviceCluster };
}

export function encodeRoutesReport({ clusters, nodes }: RoutesReport): Buffer {
  return REPLY.encode({
    clusters: clusters.map(({ revision, model }) => ({
      revision: revisionMessage(revision),
      model: modelMessage(model),
    })),
    nodes,
  });
}

/** Throws `WIRE.MALFORMED`. */
export function decodeRoutesReport(bytes: Uint8Array): RoutesReport {
  const { clusters, nodes } = REPLY.decode(bytes);
  return { clusters: each(clusters, at(place('RoutesReply'), 'clusters'), clusterOf), nodes };
}

function clusterOf({ revision, model }: ClusterRoutesMessage, where: Place): ClusterRoutes {
  return {
    revision: revisionOf(revision, at(where, 'revision')),
    model: modelOf(present(model, at(where, 'model')), at(where, 'model')),
  };
}
