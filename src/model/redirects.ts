/** Redirects of a cluster: whose hold on a host, and which would send people round for ever. */
import type { ClusterHeader, HostEntry, HostTls } from './cluster.ts';
import { compareText } from './cluster.ts';
import { createFinding, type Finding } from './finding.ts';
import type { Origin, Redirect, RoutingIntent } from './intent.ts';
import { about, type Member } from './member.ts';
import type { Hostname } from './names.ts';
import { canonicalJson } from './revision.ts';
import { addTo } from './snapshot-index.ts';

/** A redirect with the service that asked for it. */
export interface RedirectClaim {
  readonly redirect: Redirect;
  readonly member: Member;
}

const LABEL = 'com.docker.lb.redirects';

/** Those that begin at `host`, one per source, sorted by it. `members` are the host's, oldest first. */
export function chooseRedirects(
  host: Hostname,
  tls: HostTls,
  members: readonly Member[],
  findings: Finding[],
): readonly RedirectClaim[] {
  const chosen = new Map<string, RedirectClaim>();
  for (const claim of claimsOf(host, members)) {
    const source = originText(claim.redirect.source);
    const earlier = chosen.get(source);
    const refusal = refuse(claim, { host, tls, owner: members[0], earlier });
    if (refusal === undefined) {
      chosen.set(source, earlier ?? claim);
    } else {
      findings.push(refusal);
    }
  }
  return [...chosen].sort(([a], [b]) => compareText(a, b)).map(([, claim]) => claim);
}

function claimsOf(host: Hostname, members: readonly Member[]): readonly RedirectClaim[] {
  return members.flatMap((member) =>
    (redirectsByHost(member.intent).get(host) ?? []).map((redirect): RedirectClaim => ({ redirect, member })),
  );
}

/** A label may hold thousands of redirects of as many hosts: looked through once, not once per host. */
const sorted = new WeakMap<RoutingIntent, ReadonlyMap<Hostname, readonly Redirect[]>>();

function redirectsByHost(intent: RoutingIntent): ReadonlyMap<Hostname, readonly Redirect[]> {
  const known = sorted.get(intent);
  if (known !== undefined) {
    return known;
  }
  const byHost = new Map<Hostname, Redirect[]>();
  for (const redirect of intent.redirects) {
    addTo(byHost, redirect.source.host, redirect);
  }
  sorted.set(intent, byHost);
  return byHost;
}

interface Standing {
  readonly host: Hostname;
  readonly tls: HostTls;
  /** The oldest service on the host. */
  readonly owner: Member | undefined;
  readonly earlier: RedirectClaim | undefined;
}

function refuse(claim: RedirectClaim, { host, tls, owner, earlier }: Standing): Finding | undefined {
  const { source, target } = claim.redirect;
  if (source.scheme === 'https' && tls.kind !== 'terminate') {
    const why = tls.kind === 'passthrough' ? 'is passed through unopened' : 'has no TLS at the proxy';
    return aboutClaim(
      'ROUTE.REDIRECT_UNREACHABLE',
      claim,
      `${host} ${why}, so no https request is seen there. Remove the redirect.`,
    );
  }
  if (earlier !== undefined && canonicalJson(earlier.redirect) !== canonicalJson(claim.redirect)) {
    return aboutClaim(
      'ROUTE.OPTIONS_DIFFER',
      claim,
      `${earlier.member.service.name} redirects ${originText(source)} to ${originText(earlier.redirect.target)} already. Keep one of the two.`,
    );
  }
  // Sending a host away takes it from everybody on it; another scheme of the same host takes nothing.
  if (
    target.host !== host &&
    owner !== undefined &&
    owner.service.id !== claim.member.service.id &&
    earlier === undefined
  ) {
    return aboutClaim(
      'ROUTE.OPTIONS_DIFFER',
      claim,
      `${owner.service.name} is older and serves ${host}. Redirect from a host of your own, or write the redirect there.`,
    );
  }
  return undefined;
}

function aboutClaim(
  code: 'ROUTE.REDIRECT_UNREACHABLE' | 'ROUTE.OPTIONS_DIFFER' | 'ROUTE.REDIRECT_LOOP',
  { redirect, member }: RedirectClaim,
  advice: string,
): Finding {
  const value = `${originText(redirect.source)},${originText(redirect.target)}`;
  return createFinding(code, advice, about(member.intent, LABEL, value));
}

function originText({ scheme, host, port }: Origin): string {
  return `${scheme}://${host}${port === undefined ? '' : `:${port}`}`;
}

type Published = ClusterHeader['published'];

/**
 * The redirects that lie on a circle, over whichever services and hosts. Those that only lead into one are not among them.
 * Every node has one way on, so each is walked once: a walk that meets itself has found a circle.
 */
export function findLoops(
  claims: readonly RedirectClaim[],
  entries: ReadonlyMap<Hostname, HostEntry>,
  published: Published,
): ReadonlySet<RedirectClaim> {
  const bySource = new Map(claims.map((claim) => [nodeOf(claim.redirect.source), claim]));
  const next = (node: string): string | undefined => {
    const claim = bySource.get(node);
    return claim === undefined ? httpsOnly(node, entries) : nodeIfOurs(claim.redirect.target, published);
  };
  const seen = new Set<string>();
  const onCircle = new Set<string>();
  for (const start of bySource.keys()) {
    for (const node of circleFrom(start, next, seen)) {
      onCircle.add(node);
    }
  }
  return new Set(claims.filter((claim) => onCircle.has(nodeOf(claim.redirect.source))));
}

/** The nodes of the circle that a walk from `start` closes; none when it ends, or comes to what was `seen` on an earlier walk. */
function circleFrom(start: string, next: (node: string) => string | undefined, seen: Set<string>): readonly string[] {
  const walk = new Map<string, number>();
  let node: string | undefined = start;
  while (node !== undefined && !seen.has(node)) {
    seen.add(node);
    walk.set(node, walk.size);
    node = next(node);
  }
  const from = node === undefined ? undefined : walk.get(node);
  return from === undefined ? [] : [...walk.keys()].slice(from);
}

function nodeOf({ scheme, host }: Pick<Origin, 'scheme' | 'host'>): string {
  return `${scheme}://${host}`;
}

/** A port of its own that is not published by the proxies is somebody else's server. */
function nodeIfOurs(target: Origin, published: Published): string | undefined {
  const ours = target.scheme === 'http' ? [80, published.http] : [443, published.tls];
  return target.port === undefined || ours.includes(target.port) ? nodeOf(target) : undefined;
}

/** Plain HTTP of a host with `ssl_only` goes on at https of the same host. */
function httpsOnly(node: string, entries: ReadonlyMap<Hostname, HostEntry>): string | undefined {
  const [scheme, host] = node.split('://');
  // A Hostname again: it was taken from one.
  const tls = entries.get(host as Hostname)?.tls;
  return scheme === 'http' && tls?.kind === 'terminate' && tls.only ? `https://${host}` : undefined;
}

export function loopFinding(claim: RedirectClaim): Finding {
  return aboutClaim(
    'ROUTE.REDIRECT_LOOP',
    claim,
    'Following this redirect, and those of the hosts it leads to, comes back here. Take one of them out.',
  );
}
