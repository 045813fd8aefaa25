/** Labels that are fine alone and cannot work together: each rule names the label that is ignored, and why. */
import type { Redirect } from '../model/intent.ts';
import type { LabelName, LabelValues } from './label-table.ts';

export interface IgnoredLabel {
  readonly label: LabelName;
  readonly advice: string;
}

interface Rule extends IgnoredLabel {
  readonly when: (values: LabelValues) => boolean;
}

const needsPassthroughOff =
  'A connection that is passed through unopened has no requests to look at. Remove one of the two labels.';

const RULES: readonly Rule[] = [
  {
    label: 'ssl_key',
    when: ({ ssl_key, ssl_cert }) => ssl_key !== undefined && ssl_cert === undefined,
    advice: 'A key alone cannot serve TLS. Add com.docker.lb.ssl_cert.',
  },
  {
    label: 'ssl_only',
    when: ({ ssl_only, ssl_cert, ssl_passthrough }) => ssl_only && ssl_cert === undefined && !ssl_passthrough,
    advice: 'Without a certificate there is no https to send people to. Add com.docker.lb.ssl_cert.',
  },
  {
    label: 'ssl_only',
    when: ({ ssl_only, ssl_passthrough }) => ssl_only && ssl_passthrough,
    advice:
      'A host that is passed through has no plain HTTP. To send people on, add com.docker.lb.redirects, e.g. "http://app.example.com,https://app.example.com".',
  },
  {
    label: 'ssl_backend',
    when: ({ ssl_backend, ssl_passthrough }) => ssl_backend && ssl_passthrough,
    advice: 'With ssl_passthrough the service gets the TLS of the client itself. Remove one of the two labels.',
  },
  {
    label: 'ssl_cert',
    when: ({ ssl_cert, ssl_passthrough }) => ssl_cert !== undefined && ssl_passthrough,
    advice: 'With ssl_passthrough the service has the certificate. Remove one of the two labels.',
  },
  {
    label: 'context_root',
    when: ({ context_root, ssl_passthrough }) => context_root !== '/' && ssl_passthrough,
    advice: needsPassthroughOff,
  },
  {
    label: 'context_root',
    when: ({ context_root, hosts, default_backend }) => context_root !== '/' && hosts.length === 0 && default_backend,
    advice:
      'A default backend answers every path of the hosts that nobody claimed. Add com.docker.lb.hosts for a path of them.',
  },
  {
    label: 'sticky_session_cookie',
    when: ({ sticky_session_cookie, ssl_passthrough }) => sticky_session_cookie !== undefined && ssl_passthrough,
    advice: needsPassthroughOff,
  },
  {
    label: 'context_root_rewrite',
    when: ({ context_root, context_root_rewrite }) => context_root_rewrite && context_root === '/',
    advice: 'There is nothing to cut. Add com.docker.lb.context_root.',
  },
  {
    label: 'ssl_backend_tls_verify',
    when: ({ ssl_backend, ssl_backend_tls_verify }) => ssl_backend_tls_verify === 'required' && !ssl_backend,
    advice: 'The service is spoken to in plain HTTP. Add com.docker.lb.ssl_backend=true.',
  },
  {
    label: 'ssl_backend_ca',
    when: ({ ssl_backend, ssl_backend_tls_verify, ssl_backend_ca }) =>
      ssl_backend_ca !== undefined && !(ssl_backend && ssl_backend_tls_verify === 'required'),
    advice: 'Nothing is verified with it. Add com.docker.lb.ssl_backend=true and ssl_backend_tls_verify=required.',
  },
  {
    label: 'ip_hash',
    when: ({ ip_hash, sticky_session_cookie }) => ip_hash && sticky_session_cookie !== undefined,
    advice: 'The cookie decides. Remove one of the two labels.',
  },
  {
    label: 'sticky_session_cookie',
    when: ({ sticky_session_cookie, backend_mode }) => sticky_session_cookie !== undefined && backend_mode === 'vip',
    advice: 'Behind a virtual IP the proxy cannot choose a task. Use com.docker.lb.backend_mode=task.',
  },
  {
    label: 'ip_hash',
    when: ({ ip_hash, backend_mode }) => ip_hash && backend_mode === 'vip',
    advice: 'Behind a virtual IP the proxy cannot choose a task. Use com.docker.lb.backend_mode=task.',
  },
];

/** At most one entry per label, in a fixed order. */
export function findIgnoredLabels(values: LabelValues): readonly IgnoredLabel[] {
  const seen = new Set<LabelName>();
  return RULES.filter((rule) => rule.when(values)).filter(({ label }) => !seen.has(label) && seen.add(label));
}

/** A redirect works only from a host the service has. */
export function strayRedirects({ hosts, redirects }: LabelValues): readonly Redirect[] {
  const own = new Set(hosts);
  return redirects.filter(({ source }) => !own.has(source.host));
}
