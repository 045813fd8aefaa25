/** Options that belong to a pool or a host and were asked for by several services: the oldest one's hold, and what differs is named. */
import { createFinding, type Finding } from './finding.ts';
import type { RoutingIntent } from './intent.ts';
import { about, type Member } from './member.ts';
import { canonicalJson } from './revision.ts';

/** What one label says, as the intent has it. */
interface Option {
  readonly label: string;
  readonly of: (intent: RoutingIntent) => unknown;
}

/** Options of a pool; `weight` is each service's own, and `websocket_endpoints` changes nothing. */
const OF_POOL: readonly Option[] = [
  { label: 'backend_mode', of: ({ backendMode }) => backendMode },
  { label: 'context_root_rewrite', of: ({ contextRoot }) => contextRoot.rewrite },
  { label: 'fail_timeout', of: ({ failure }) => failure.failTimeoutSeconds },
  { label: 'ip_hash', of: ({ balance }) => balance.kind === 'client-address' },
  { label: 'max_fails', of: ({ failure }) => failure.maxFails },
  { label: 'ssl_backend', of: ({ upstreamTls }) => upstreamTls.kind },
  { label: 'ssl_backend_ca', of: (intent) => verifyOf(intent)?.ca },
  { label: 'ssl_backend_tls_verify', of: (intent) => verifyOf(intent)?.kind },
  { label: 'sticky_session_cookie', of: ({ balance }) => (balance.kind === 'cookie' ? balance.cookie : undefined) },
];

/** Options of a host's TLS, among services that end it at the proxy. */
const OF_TLS: readonly Option[] = [
  { label: 'ssl_cert', of: ({ tls }) => (tls.kind === 'terminate' ? tls.certificate : undefined) },
  { label: 'ssl_key', of: ({ tls }) => (tls.kind === 'terminate' ? tls.key : undefined) },
  { label: 'ssl_only', of: ({ tls }) => tls.kind === 'terminate' && tls.only },
];

function verifyOf({
  upstreamTls,
}: RoutingIntent): { readonly kind: string; readonly ca?: string | undefined } | undefined {
  return upstreamTls.kind === 'on' ? upstreamTls.verify : undefined;
}

/** `shared` names what the services share: a host with its path. */
export function poolDifferences(shared: string, oldest: Member, member: Member): readonly Finding[] {
  return differences(OF_POOL, shared, oldest, member);
}

export function tlsDifferences(host: string, oldest: Member, member: Member): readonly Finding[] {
  return differences(OF_TLS, host, oldest, member);
}

/** `decider` has the TLS of a host whose oldest service has no word about it. */
export function tlsByYounger(host: string, oldest: Member, { service, intent }: Member): readonly Finding[] {
  const decides = createFinding(
    'ROUTE.TLS_BY_YOUNGER',
    `${service.name} decides about the TLS of ${host}, for ${oldest.service.name} too, which is older and does not ask for TLS. To have it decided there, give ${oldest.service.name} com.docker.lb.ssl_cert.`,
    about(intent, 'com.docker.lb.ssl_cert'),
  );
  if (intent.tls.kind !== 'terminate' || !intent.tls.only) {
    return [decides];
  }
  const only = createFinding(
    'ROUTE.OPTIONS_DIFFER',
    `${oldest.service.name} is older and serves ${host} over plain HTTP, so ssl_only has no effect there. Give ${oldest.service.name} the same ssl_cert and ssl_only.`,
    about(intent, 'com.docker.lb.ssl_only'),
  );
  return [decides, only];
}

function differences(options: readonly Option[], shared: string, oldest: Member, member: Member): readonly Finding[] {
  return options
    .filter(({ of }) => canonicalJson(of(oldest.intent)) !== canonicalJson(of(member.intent)))
    .map(({ label }) =>
      createFinding(
        'ROUTE.OPTIONS_DIFFER',
        `${oldest.service.name} is older, and what it says about ${label} is used for ${shared}. Give both services the same value.`,
        about(member.intent, `com.docker.lb.${label}`),
      ),
    );
}
