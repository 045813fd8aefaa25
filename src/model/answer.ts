/**
 * Who answers a request, by a cluster's model alone: what the proxies' file makes NGINX do, said in our own words. Pure. Held to a real
 * NGINX with the rendered file by `test/integration/nginx/answer.test.ts`.
 */
import type { ClusterHeader, ClusterModel, HostEntry, HostTls, PathRoute, Pool, PoolId } from './cluster.ts';
import type { Origin } from './intent.ts';

/** A request as a client sends it. */
export interface WebRequest {
  readonly scheme: 'http' | 'https';
  /** Lower case, without a final dot; the name in the ClientHello too. */
  readonly host: string;
  /** As in the URL; `undefined`: the scheme's own. */
  readonly port: number | undefined;
  /** As sent, `/` first, with its query and without fragment. */
  readonly path: string;
}

export type Answer =
  /** The service that claimed host and path, or the default backend (`host` and `route` are `undefined`). Without endpoints: 503. */
  | { readonly kind: 'pool'; readonly host?: HostEntry; readonly route?: PathRoute; readonly pool: Pool }
  /** The TLS connection goes on unopened. Without endpoints it is closed. */
  | { readonly kind: 'passthrough'; readonly host?: HostEntry; readonly pool: Pool }
  /** `label`: by `redirects`. `tls-only`: plain HTTP has to go to https. `to`: an origin without a final slash. */
  | {
      readonly kind: 'redirect';
      readonly host?: HostEntry;
      readonly status: 302 | 308;
      readonly to: string;
      readonly by: 'label' | 'tls-only';
    }
  /** 503: nobody claimed the host; or it is passed through, and this is plain HTTP (`host`). */
  | { readonly kind: 'unknown-host'; readonly host?: HostEntry }
  /** 404. */
  | { readonly kind: 'unknown-path'; readonly host: HostEntry }
  /** No TLS for this name: nobody claimed it, it has none, or its certificate does not exist. */
  | { readonly kind: 'handshake-refused'; readonly host?: HostEntry; readonly why: 'unknown' | 'no-tls' | 'lost' }
  /** 400: the path climbs above the root, or is no path at all. */
  | { readonly kind: 'bad-request' };

export interface AnswerOptions {
  /** `PublicSSLPort` of the extension's Config. */
  readonly publicTlsPort?: number | undefined;
}

/** `undefined` for what is no http(s) URL with a host name. */
export function parseRequest(text: string): WebRequest | undefined {
  const [, scheme, , path = ''] = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(text.trim()) ?? [];
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  if (scheme === undefined || url === undefined || url.hostname === '' || url.username !== '') {
    return undefined;
  }
  return {
    scheme: url.protocol === 'https:' ? 'https' : 'http',
    host: url.hostname.replace(/\.$/, ''),
    port: url.port === '' ? undefined : Number(url.port),
    path: path.startsWith('/') ? path : `/${path}`,
  };
}

export function answerOf(model: ClusterModel, request: WebRequest, options: AnswerOptions = {}): Answer {
  return request.scheme === 'https' ? overTls(model, request) : overHttp(model, request, options);
}

function overHttp(model: ClusterModel, request: WebRequest, options: AnswerOptions): Answer {
  const { header } = model;
  const host = hostOf(model.hosts, request.host);
  const path = normalisePath(request.path);
  if (path === undefined) {
    return { kind: 'bad-request' };
  }
  if (host === undefined) {
    return isTlsOnly(header.defaultTls) ? toHttps(header, request, options) : byDefault(model);
  }
  const target = redirectFrom(host, 'http');
  if (target !== undefined) {
    return { kind: 'redirect', host, status: 302, to: originText(target), by: 'label' };
  }
  if (isTlsOnly(host.tls)) {
    return { ...toHttps(header, request, options), host };
  }
  if (host.tls.kind === 'passthrough') {
    // Its names are those of the default server's own.
    const answer = isTlsOnly(header.defaultTls) ? toHttps(header, request, options) : byDefault(model);
    return answer.kind === 'unknown-host' ? { ...answer, host } : answer;
  }
  return byPath(model, host, path);
}

function overTls(model: ClusterModel, request: WebRequest): Answer {
  const { header } = model;
  const host = hostOf(model.hosts, request.host);
  const passed = header.tlsHop ? passedTo(model, host) : undefined;
  if (passed !== undefined) {
    return passed;
  }
  const refused = refusedTls(header, host);
  if (refused !== undefined) {
    return refused;
  }
  const path = normalisePath(request.path);
  if (path === undefined) {
    return { kind: 'bad-request' };
  }
  if (host === undefined) {
    return byDefault(model);
  }
  const target = redirectFrom(host, 'https');
  return target === undefined
    ? byPath(model, host, path)
    : { kind: 'redirect', host, status: 302, to: originText(target), by: 'label' };
}

function refusedTls({ defaultTls }: ClusterHeader, host: HostEntry | undefined): Answer | undefined {
  const tls = host?.tls ?? defaultTls;
  if (tls.kind === 'terminate') {
    return undefined;
  }
  const why = tls.kind === 'lost' ? 'lost' : host === undefined ? 'unknown' : 'no-tls';
  return { kind: 'handshake-refused', ...(host && { host }), why };
}

/** What the preread server keeps for itself. */
function passedTo(model: ClusterModel, host: HostEntry | undefined): Answer | undefined {
  const { defaultTls, defaultPool } = model.header;
  if (host?.tls.kind === 'passthrough') {
    return { kind: 'passthrough', host, pool: poolOf(model, host.tls.pool) };
  }
  return host === undefined && defaultTls.kind === 'passthrough' && defaultPool !== undefined
    ? { kind: 'passthrough', pool: poolOf(model, defaultPool) }
    : undefined;
}

function byDefault(model: ClusterModel): Answer {
  const { defaultPool, defaultTls } = model.header;
  return defaultPool === undefined || defaultTls.kind === 'passthrough'
    ? { kind: 'unknown-host' }
    : { kind: 'pool', pool: poolOf(model, defaultPool) };
}

function byPath(model: ClusterModel, host: HostEntry, path: string): Answer {
  const route = host.routes.reduce<PathRoute | undefined>(
    (best, each) => (covers(each.prefix, path) && each.prefix.length > (best?.prefix.length ?? 0) ? each : best),
    undefined,
  );
  return route === undefined
    ? { kind: 'unknown-path', host }
    : { kind: 'pool', host, route, pool: poolOf(model, route.pool) };
}

/** On segment borders. */
function covers(prefix: string, path: string): boolean {
  return prefix === '/' || path === prefix || path.startsWith(`${prefix}/`);
}

/** The exact name, else the longest wildcard that covers it. */
export function hostOf(hosts: readonly HostEntry[], name: string): HostEntry | undefined {
  const byName = new Map<string, HostEntry>(hosts.map((entry) => [entry.host, entry]));
  const labels = name.split('.');
  const wildcards = labels.map((_, cut) => `*.${labels.slice(cut + 1).join('.')}`).slice(0, -1);
  return [name, ...wildcards].flatMap((candidate) => byName.get(candidate) ?? [])[0];
}

/**
 * As NGINX looks for a location: percent-decoded once, repeated slashes joined, `.` and `..` resolved. `undefined`: it answers 400.
 * Bytes stay bytes: one character each.
 */
export function normalisePath(sent: string): string | undefined {
  const [path = ''] = sent.split(/[?#]/, 1);
  const bytes = Buffer.from(path, 'utf8').toString('latin1');
  if (/%(?![0-9a-f]{2})|%00/i.test(bytes)) {
    return undefined;
  }
  const decoded = bytes.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  const kept: string[] = [];
  const segments = decoded.split('/').slice(1);
  for (const segment of segments) {
    if (segment === '..') {
      if (kept.pop() === undefined) {
        return undefined;
      }
    } else if (segment !== '.' && segment !== '') {
      kept.push(segment);
    }
  }
  const isFolder = ['', '.', '..'].includes(segments.at(-1) ?? '');
  return kept.length === 0 ? '/' : `/${kept.join('/')}${isFolder ? '/' : ''}`;
}

/** One from and to the same scheme and host would never end, and is not made. */
function redirectFrom({ host, redirects }: HostEntry, scheme: Origin['scheme']): Origin | undefined {
  return redirects.find(
    ({ source, target }) => source.scheme === scheme && !(target.scheme === scheme && target.host === host),
  )?.target;
}

function toHttps({ published: { http, tls } }: ClusterHeader, request: WebRequest, options: AnswerOptions) {
  const { publicTlsPort } = options;
  const isAsPublished = publicTlsPort !== undefined || http === undefined || tls === undefined;
  const port = isAsPublished ? publicTlsPort : request.port === http ? tls : undefined;
  const suffix = port === undefined || port === 443 ? '' : `:${port}`;
  return { kind: 'redirect', status: 308, to: `https://${request.host}${suffix}`, by: 'tls-only' } as const;
}

function isTlsOnly(tls: HostTls): boolean {
  return (tls.kind === 'terminate' || tls.kind === 'lost') && tls.only;
}

function originText({ scheme, host, port }: Origin): string {
  return `${scheme}://${host}${port === undefined ? '' : `:${port}`}`;
}

function poolOf({ pools }: ClusterModel, id: PoolId): Pool {
  const found = pools.find((pool) => pool.id === id);
  if (found === undefined) {
    throw new TypeError(`the model has no pool ${id}`);
  }
  return found;
}
