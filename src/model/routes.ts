/**
 * What a cluster's services ask for, as history keeps it: their routing labels, and nothing of tasks, addresses and networks. Two route
 * sets are compared service by service (what a revision changed) or route by route (what that means for requests).
 */
import { createHash } from 'node:crypto';
import { compareText } from './cluster.ts';
import { DEFAULT_FAILURE_POLICY, type Origin, type RoutingIntent } from './intent.ts';
import { canonicalJson, createLines, sha256Hex } from './revision.ts';

/** One service that is routed. */
export interface RoutedService {
  readonly name: string;
  readonly id: string;
  /** RFC 3339; of services that disagree the oldest wins. */
  readonly createdAt: string;
  readonly stack: string | undefined;
  /** Its `com.docker.lb.*` labels as they are written, and no others. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface RouteSet {
  /** Sorted by name, which Swarm gives once. */
  readonly services: readonly RoutedService[];
}

/** What people call a route set: two of them are the same where names, stacks and labels are. */
export function digestRoutes(routes: RouteSet): string {
  const known = setDigests.get(routes);
  if (known !== undefined) {
    return known;
  }
  const hash = createHash('sha256').update('interlock.routes.1\n');
  for (const block of serviceLines(routes.services)) {
    hash.update(block);
  }
  const digest = hash.digest('hex');
  setDigests.set(routes, digest);
  return digest;
}

/** Immutable, so a digest belongs to the object for as long as it lives. */
const setDigests = new WeakMap<RouteSet, string>();

/** An unchanged service is the same object in the next route set. */
const digests = new WeakMap<RoutedService, string>();

/** Without id and age: a service that was made anew with the same labels asks for the same. */
function serviceDigest(service: RoutedService): string {
  const known = digests.get(service);
  if (known !== undefined) {
    return known;
  }
  const { name, stack = null, labels } = service;
  const digest = sha256Hex(canonicalJson({ name, stack, labels }));
  digests.set(service, digest);
  return digest;
}

const serviceLines = createLines<RoutedService>((service) => `${serviceDigest(service)}\n`);

/** Names of services, sorted. */
export interface ServiceChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

export function serviceChanges(before: RouteSet, after: RouteSet): ServiceChanges {
  const [old, now] = [byName(before), byName(after)];
  const names = (services: readonly RoutedService[]) => services.map(({ name }) => name).sort(compareText);
  return {
    added: names(after.services.filter(({ name }) => !old.has(name))),
    changed: names(after.services.filter((service) => differs(old.get(service.name), service))),
    removed: names(before.services.filter(({ name }) => !now.has(name))),
  };
}

function byName({ services }: RouteSet): ReadonlyMap<string, RoutedService> {
  return new Map(services.map((service) => [service.name, service]));
}

/** As digests would say, without hashing all services of a revision that was read back. */
function differs(before: RoutedService | undefined, after: RoutedService): boolean {
  return before !== undefined && (before.stack !== after.stack || !isSameLabels(before.labels, after.labels));
}

function isSameLabels(one: RoutedService['labels'], other: RoutedService['labels']): boolean {
  const names = Object.keys(one);
  return (
    one === other ||
    (names.length === Object.keys(other).length &&
      names.every((name) => Object.hasOwn(other, name) && one[name] === other[name]))
  );
}

/** One host and path of one service, in two route sets. */
export interface RouteChange {
  readonly kind: 'added' | 'removed' | 'changed';
  /** `''`: a default backend, for hosts that nobody claimed. */
  readonly host: string;
  readonly path: string;
  readonly service: string;
  /** Named as the labels are, without `com.docker.lb.`, sorted. Of a route that came or went: those that are not the default. */
  readonly options: readonly OptionChange[];
}

export interface OptionChange {
  readonly name: string;
  /** `''`: not set, or no such route. */
  readonly before: string;
  readonly after: string;
}

/** Sorted by host, path, service. The order of the intents never matters. */
export function compareRoutes(
  before: readonly RoutingIntent[],
  after: readonly RoutingIntent[],
): readonly RouteChange[] {
  const [old, now] = [rowsOf(before), rowsOf(after)];
  const keys = [...new Set([...old.keys(), ...now.keys()])].sort(compareText);
  return keys.flatMap((key) => changeOf(old.get(key), now.get(key)));
}

type Options = Readonly<Record<string, string>>;

interface Row {
  readonly host: string;
  readonly path: string;
  readonly service: string;
  readonly options: Options;
}

function changeOf(before: Row | undefined, after: Row | undefined): readonly RouteChange[] {
  const row = after ?? before;
  if (row === undefined) {
    return [];
  }
  const options = optionChanges(before?.options ?? {}, after?.options ?? {});
  const kind = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
  const { host, path, service } = row;
  return kind === 'changed' && options.length === 0 ? [] : [{ kind, host, path, service, options }];
}

function optionChanges(before: Options, after: Options): readonly OptionChange[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort(compareText);
  return names
    .map((name) => ({ name, before: before[name] ?? '', after: after[name] ?? '' }))
    .filter((option) => option.before !== option.after);
}

function rowsOf(intents: readonly RoutingIntent[]): ReadonlyMap<string, Row> {
  return new Map(intents.flatMap(rowsOfIntent).map((row) => [`${row.host}\n${row.path}\n${row.service}`, row]));
}

function rowsOfIntent(intent: RoutingIntent): readonly Row[] {
  const options = optionsOf(intent);
  const service = intent.service.name;
  const hosts: readonly string[] = intent.defaultBackend ? ['', ...intent.hosts] : intent.hosts;
  return hosts.map((host) => ({ host, path: host === '' ? '/' : intent.contextRoot.prefix, service, options }));
}

/** What is not the default, as the label would say it. */
function optionsOf(intent: RoutingIntent): Options {
  const { port, network, backendMode, weight, contextRoot, failure, websocketEndpoints, redirects } = intent;
  const { failTimeoutSeconds } = failure;
  const options: Record<string, string | false> = {
    port: port !== undefined && String(port),
    network: network.kind === 'named' ? network.name : network.kind === 'bridge' && 'bridge',
    backend_mode: backendMode === 'vip' && 'vip',
    weight: weight !== 1 && String(weight),
    context_root_rewrite: contextRoot.rewrite && 'true',
    max_fails: failure.maxFails !== DEFAULT_FAILURE_POLICY.maxFails && String(failure.maxFails),
    fail_timeout: failTimeoutSeconds !== DEFAULT_FAILURE_POLICY.failTimeoutSeconds && `${failTimeoutSeconds}s`,
    websocket_endpoints: websocketEndpoints.join(','),
    redirects: redirects.map(({ source, target }) => `${originText(source)},${originText(target)}`).join(' '),
    ...tlsOptions(intent),
    ...balanceOptions(intent),
  };
  return Object.fromEntries(
    Object.entries(options).filter((entry): entry is [string, string] => entry[1] !== false && entry[1] !== ''),
  );
}

function tlsOptions({ tls, upstreamTls }: RoutingIntent): Record<string, string | false> {
  const verify = upstreamTls.kind === 'on' ? upstreamTls.verify : undefined;
  return {
    ssl_passthrough: tls.kind === 'passthrough' && 'true',
    ssl_cert: tls.kind === 'terminate' && tls.certificate,
    ssl_key: tls.kind === 'terminate' && (tls.key ?? false),
    ssl_only: tls.kind === 'terminate' && tls.only && 'true',
    ssl_backend: upstreamTls.kind === 'on' && 'true',
    ssl_backend_tls_verify: verify?.kind === 'none' && 'none',
    ssl_backend_ca: verify?.kind === 'required' && (verify.ca ?? false),
  };
}

function balanceOptions({ balance }: RoutingIntent): Record<string, string | false> {
  return {
    sticky_session_cookie: balance.kind === 'cookie' && balance.cookie,
    ip_hash: balance.kind === 'client-address' && 'true',
  };
}

function originText({ scheme, host, port }: Origin): string {
  return `${scheme}://${host}${port === undefined ? '' : `:${port}`}`;
}
