/** What a host answers on the HTTP port instead of its routes: its own `redirects`, and `ssl_only`. */
import type { ClusterHeader, HostEntry, HostTls } from '../../model/cluster.ts';
import type { Origin } from '../../model/intent.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { redirectRoute } from './route-log.ts';
import { block, directive, entry, expression, type Node } from './syntax.ts';

/** An answer that needs nothing but the request. */
export interface RedirectAnswer {
  readonly status: 302 | 308;
  /** An absolute URL with `$request_uri` at its end. */
  readonly location: string;
}

const HTTPS_PORT = '$https_port';
const HTTPS = 443;

/**
 * The host's own redirect for requests of this scheme, the first in the model if there are several. The port of the source does not
 * count: there is one listener per scheme. So one from and to the same scheme and host would never end, and is left out.
 */
export function redirectOf({ host, redirects }: HostEntry, scheme: Origin['scheme']): RedirectAnswer | undefined {
  const found = redirects.find(
    ({ source, target }) => source.scheme === scheme && !(target.scheme === scheme && target.host === host),
  );
  return found === undefined ? undefined : { status: 302, location: `${originText(found.target)}$request_uri` };
}

/** 308 keeps method and body. */
export function toHttps(header: ClusterHeader, options: NginxOptions): RedirectAnswer {
  return { status: 308, location: `https://$host${httpsPort(header, options).text}$request_uri` };
}

/** Does plain HTTP have to go to https? */
export function isTlsOnly(tls: HostTls): boolean {
  return (tls.kind === 'terminate' || tls.kind === 'lost') && tls.only;
}

/** For `http`, where `toHttps` is used: the port of its target, empty or `:8443`. */
export function httpsPortMaps(header: ClusterHeader, options: NginxOptions): readonly Node[] {
  const { map } = httpsPort(header, options);
  return map === undefined ? [] : [map];
}

interface RedirectContext {
  readonly listen: readonly Node[];
  /** Empty where the server has none. */
  readonly certificate: readonly Node[];
  readonly options: NginxOptions;
}

/** One server for all names with the same answer. */
export function redirectServer(
  { listen, certificate, options }: RedirectContext,
  names: readonly string[],
  { status, location }: RedirectAnswer,
): Node {
  return block(
    'server',
    [],
    [
      ...listen,
      ...names.map((name) => directive('server_name', name)),
      ...certificate,
      ...redirectRoute(options, names),
      block('location', ['/'], [directive('return', status, expression(location))]),
    ],
  );
}

/** `text`: what follows the host, literal or the variable of the `map`. */
interface HttpsPort {
  readonly text: string;
  readonly map: Node | undefined;
}

/** Who came through the published HTTP port is sent to the published TLS port. */
function httpsPort({ published: { http, tls } }: ClusterHeader, { publicSslPort }: NginxOptions): HttpsPort {
  if (publicSslPort !== undefined || http === undefined || tls === undefined || tls === HTTPS) {
    return { text: suffix(publicSslPort ?? HTTPS), map: undefined };
  }
  const entries = [entry('default', ''), entry(expression(`~:${http}$`), suffix(tls))];
  return {
    text: HTTPS_PORT,
    map: block('map', [expression('$requested_host'), expression(HTTPS_PORT)], entries),
  };
}

function suffix(port: number): string {
  return port === HTTPS ? '' : `:${port}`;
}

function originText({ scheme, host, port }: Origin): string {
  return `${scheme}://${host}${port === undefined ? '' : `:${port}`}`;
}
