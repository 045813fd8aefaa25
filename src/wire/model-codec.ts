/** The model stream: whole models and patches <-> bytes. */
import type { ClusterHeader, ClusterModel, HostEntry, Pool } from '../model/cluster.ts';
import { parseHostname } from '../model/names.ts';
import type { ModelPatch } from '../model/patch.ts';
import { assertNever } from '../runtime/errors.ts';
import type { ModelContent, ModelMessage, RevisionRef } from './contract.ts';
import {
  absolutePath,
  ascending,
  at,
  digestText,
  each,
  malformed,
  nonEmptyText,
  type Place,
  parsed,
  place,
  present,
} from './door.ts';
import { hostMessage, hostOf, type TlsMessage, tlsMessage, tlsOf } from './host-codec.ts';
import type {
  ClusterHeaderMessage,
  ClusterModelMessage,
  ModelPatchMessage,
  ModelUpdateMessage,
  WatchModelRequestMessage,
} from './messages.ts';
import { optionalPortOf, poolMessage, poolOf, portOf } from './pool-codec.ts';
import { messageType } from './proto.ts';
import { optionalRevisionOf, revisionMessage, revisionOf } from './revision-codec.ts';

const WATCH_REQUEST = messageType<WatchModelRequestMessage>('interlock.v1.WatchModelRequest');
const MODEL_UPDATE = messageType<ModelUpdateMessage>('interlock.v1.ModelUpdate');

export function encodeWatchRequest(have: RevisionRef | undefined): Buffer {
  return WATCH_REQUEST.encode({ have: have === undefined ? null : revisionMessage(have) });
}

/** The revision the caller still holds. Throws `WIRE.MALFORMED`. */
export function decodeWatchRequest(bytes: Uint8Array): RevisionRef | undefined {
  return optionalRevisionOf(WATCH_REQUEST.decode(bytes).have, place('WatchModelRequest.have'));
}

export function encodeModelMessage(message: ModelMessage): Buffer {
  return MODEL_UPDATE.encode({ revision: revisionMessage(message.revision), ...contentMessage(message.content) });
}

/** Throws `WIRE.MALFORMED` with the path of the first value that cannot be. */
export function decodeModelMessage(bytes: Uint8Array): ModelMessage {
  const message = MODEL_UPDATE.decode(bytes);
  const where = place('ModelUpdate');
  return { revision: revisionOf(message.revision, at(where, 'revision')), content: contentOf(message, where) };
}

function contentMessage(content: ModelContent): Pick<ModelUpdateMessage, 'full' | 'patch'> {
  switch (content.kind) {
    case 'full':
      return { full: modelMessage(content.model) };
    case 'patch':
      return { patch: patchMessage(content.baseDigest, content.patch) };
    default:
      return assertNever(content);
  }
}

function contentOf({ full, patch }: ModelUpdateMessage, where: Place): ModelContent {
  if (full !== undefined) {
    return { kind: 'full', model: modelOf(full, at(where, 'full')) };
  }
  if (patch !== undefined) {
    const place = at(where, 'patch');
    const baseDigest = digestText(patch.baseDigest, at(place, 'baseDigest'));
    return { kind: 'patch', baseDigest, patch: patchOf(patch, place) };
  }
  throw malformed(at(where, 'content'), 'is missing');
}

export function modelMessage({ header, hosts, pools }: ClusterModel): ClusterModelMessage {
  return { header: headerMessage(header), hosts: hosts.map(hostMessage), pools: pools.map(poolMessage) };
}

export function modelOf(message: ClusterModelMessage, where: Place): ClusterModel {
  const header = headerOf(present(message.header, at(where, 'header')), at(where, 'header'));
  const hosts = each(message.hosts, at(where, 'hosts'), hostOf);
  const pools = each(message.pools, at(where, 'pools'), poolOf);
  return { header, hosts: sortedHosts(hosts, at(where, 'hosts')), pools: sortedPools(pools, at(where, 'pools')) };
}

function patchMessage(baseDigest: string, patch: ModelPatch): ModelPatchMessage {
  return {
    baseDigest,
    header: patch.header === undefined ? null : headerMessage(patch.header),
    upsertHosts: patch.upsertHosts.map(hostMessage),
    removeHosts: patch.removeHosts,
    upsertPools: patch.upsertPools.map(poolMessage),
    removePools: patch.removePools,
  };
}

function patchOf(message: ModelPatchMessage, where: Place): ModelPatch {
  return {
    header: message.header === null ? undefined : headerOf(message.header, at(where, 'header')),
    upsertHosts: each(message.upsertHosts, at(where, 'upsertHosts'), hostOf),
    removeHosts: each(message.removeHosts, at(where, 'removeHosts'), (host, place) =>
      parsed(host, parseHostname, place, 'a host name'),
    ),
    upsertPools: each(message.upsertPools, at(where, 'upsertPools'), poolOf),
    removePools: each(message.removePools, at(where, 'removePools'), nonEmptyText),
  };
}

function sortedHosts(hosts: readonly HostEntry[], where: Place): readonly HostEntry[] {
  return ascending(hosts, ({ host }) => host, where);
}

function sortedPools(pools: readonly Pool[], where: Place): readonly Pool[] {
  return ascending(pools, ({ id }) => id, where);
}

function headerMessage(header: ClusterHeader): ClusterHeaderMessage {
  return {
    serviceCluster: header.serviceCluster,
    extension: header.extension,
    listenHttpPort: header.listen.http,
    listenTlsPort: header.listen.tls,
    publishedHttpPort: header.published.http ?? 0,
    publishedTlsPort: header.published.tls ?? 0,
    optionsJson: header.optionsJson,
    defaultPool: header.defaultPool ?? '',
    configPath: header.configPath,
    tlsHop: header.tlsHop,
    ...defaultTlsMessage(tlsMessage(header.defaultTls)),
  };
}

type DefaultTlsMessage = Pick<ClusterHeaderMessage, 'defaultTerminate' | 'defaultPassthrough' | 'defaultLost'>;

/** The loader wants absent fields of a oneof to be absent, not `undefined`. */
function defaultTlsMessage({ terminate, passthrough, lost }: TlsMessage): DefaultTlsMessage {
  return {
    ...(terminate === undefined ? {} : { defaultTerminate: terminate }),
    ...(passthrough === undefined ? {} : { defaultPassthrough: passthrough }),
    ...(lost === undefined ? {} : { defaultLost: lost }),
  };
}

function ofDefaultTls({ defaultTerminate, defaultPassthrough, defaultLost }: DefaultTlsMessage): TlsMessage {
  return {
    ...(defaultTerminate === undefined ? {} : { terminate: defaultTerminate }),
    ...(defaultPassthrough === undefined ? {} : { passthrough: defaultPassthrough }),
    ...(defaultLost === undefined ? {} : { lost: defaultLost }),
  };
}

function headerOf(message: ClusterHeaderMessage, where: Place): ClusterHeader {
  return {
    serviceCluster: message.serviceCluster,
    extension: nonEmptyText(message.extension, at(where, 'extension')),
    listen: {
      http: portOf(message.listenHttpPort, at(where, 'listenHttpPort')),
      tls: portOf(message.listenTlsPort, at(where, 'listenTlsPort')),
    },
    configPath: absolutePath(message.configPath, at(where, 'configPath')),
    published: {
      http: optionalPortOf(message.publishedHttpPort, at(where, 'publishedHttpPort')),
      tls: optionalPortOf(message.publishedTlsPort, at(where, 'publishedTlsPort')),
    },
    optionsJson: message.optionsJson,
    defaultPool: message.defaultPool === '' ? undefined : message.defaultPool,
    defaultTls: tlsOf(ofDefaultTls(message), at(where, 'defaultTls')),
    tlsHop: message.tlsHop,
  };
}
