/** Hosts, their paths and their TLS on the wire. */
import type { HostEntry, HostTls, PathRoute, SecretFile } from '../model/cluster.ts';
import type { Origin, Redirect } from '../model/intent.ts';
import { parseHostname, parsePathPrefix, parseSecretName } from '../model/names.ts';
import { assertNever } from '../runtime/errors.ts';
import { absolutePath, at, each, malformed, nonEmptyText, type Place, parsed, present } from './door.ts';
import type {
  HostEntryMessage,
  OriginMessage,
  PathRouteMessage,
  RedirectMessage,
  SecretFileMessage,
  TerminateTlsMessage,
} from './messages.ts';
import { optionalPortOf } from './pool-codec.ts';

export function hostMessage(entry: HostEntry): HostEntryMessage {
  return {
    host: entry.host,
    ...tlsMessage(entry.tls),
    redirects: entry.redirects.map(redirectMessage),
    routes: entry.routes.map(routeMessage),
  };
}

export function hostOf(message: HostEntryMessage, where: Place): HostEntry {
  return {
    host: parsed(message.host, parseHostname, at(where, 'host'), 'a host name'),
    tls: tlsOf(message, where),
    redirects: each(message.redirects, at(where, 'redirects'), redirectOf),
    routes: each(message.routes, at(where, 'routes'), routeOf),
  };
}

/** The fields of the oneof that says a host's TLS. */
export type TlsMessage = Pick<HostEntryMessage, 'terminate' | 'passthrough' | 'lost'>;

export function tlsMessage(tls: HostTls): TlsMessage {
  switch (tls.kind) {
    case 'none':
      return {};
    case 'terminate':
      return { terminate: { certificate: tls.certificate, key: tls.key ?? null, only: tls.only } };
    case 'passthrough':
      return { passthrough: { pool: tls.pool } };
    case 'lost':
      return { lost: { only: tls.only } };
    default:
      return assertNever(tls);
  }
}

export function tlsOf({ terminate, passthrough, lost }: TlsMessage, where: Place): HostTls {
  if (terminate !== undefined) {
    return terminateOf(terminate, at(where, 'terminate'));
  }
  if (passthrough !== undefined) {
    return { kind: 'passthrough', pool: nonEmptyText(passthrough.pool, at(where, 'passthrough.pool')) };
  }
  return lost === undefined ? { kind: 'none' } : { kind: 'lost', only: lost.only };
}

function terminateOf(message: TerminateTlsMessage, where: Place): HostTls {
  return {
    kind: 'terminate',
    certificate: secretFileOf(message.certificate, at(where, 'certificate')),
    key: message.key === null ? undefined : secretFileOf(message.key, at(where, 'key')),
    only: message.only,
  };
}

function secretFileOf(message: SecretFileMessage | null, where: Place): SecretFile {
  const { secret, path } = present(message, where);
  return {
    secret: parsed(secret, parseSecretName, at(where, 'secret'), "a Docker secret's name"),
    path: absolutePath(path, at(where, 'path')),
  };
}

function redirectMessage({ source, target }: Redirect): RedirectMessage {
  return { source: originMessage(source), target: originMessage(target) };
}

function redirectOf(message: RedirectMessage, where: Place): Redirect {
  return {
    source: originOf(message.source, at(where, 'source')),
    target: originOf(message.target, at(where, 'target')),
  };
}

function originMessage({ scheme, host, port }: Origin): OriginMessage {
  return { scheme, host, port: port ?? 0 };
}

function originOf(message: OriginMessage | null, where: Place): Origin {
  const { scheme, host, port } = present(message, where);
  return {
    scheme: schemeOf(scheme, at(where, 'scheme')),
    host: parsed(host, parseHostname, at(where, 'host'), 'a host name'),
    port: optionalPortOf(port, at(where, 'port')),
  };
}

function schemeOf(scheme: string, where: Place): Origin['scheme'] {
  if (scheme !== 'http' && scheme !== 'https') {
    throw malformed(where, 'is neither http nor https');
  }
  return scheme;
}

function routeMessage({ prefix, rewrite, pool, websocketEndpoints }: PathRoute): PathRouteMessage {
  return { prefix, rewrite, pool, websocketEndpoints };
}

function routeOf(message: PathRouteMessage, where: Place): PathRoute {
  return {
    prefix: parsed(message.prefix, parsePathPrefix, at(where, 'prefix'), 'a path prefix'),
    rewrite: message.rewrite,
    pool: nonEmptyText(message.pool, at(where, 'pool')),
    websocketEndpoints: each(message.websocketEndpoints, at(where, 'websocketEndpoints'), (path, place) =>
      parsed(path, parsePathPrefix, place, 'a path prefix'),
    ),
  };
}
