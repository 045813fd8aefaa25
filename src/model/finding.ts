/** A problem in someone's labels or settings, as data. A finding is never thrown; it harms only what it names. */

export type FindingSeverity = 'info' | 'warn' | 'error';

export interface Finding {
  readonly code: FindingCode;
  readonly severity: FindingSeverity;
  /** What it is about: the service's name, or undefined for a finding about settings. */
  readonly service: string | undefined;
  readonly serviceCluster: string | undefined;
  /** The label's full name, or the key's path in config.toml. */
  readonly subject: string | undefined;
  /** The offending text, cut to 120 characters and without control characters. */
  readonly value: string | undefined;
  /** What was found and what to write instead, one or two sentences. */
  readonly advice: string;
}

/** Stable codes; `docs/codes.md` is generated from this table. `harm` says what the service loses. */
export const FINDINGS = {
  'LABEL.HOSTS_INVALID': { severity: 'error', harm: 'that host name is not routed' },
  'LABEL.HOSTS_MISSING': { severity: 'warn', harm: 'the service is not routed' },
  'LABEL.PORT_MISSING': { severity: 'error', harm: 'the service is not routed' },
  'LABEL.PORT_INVALID': { severity: 'error', harm: 'the service is not routed' },
  'LABEL.NETWORK_UNKNOWN': { severity: 'error', harm: 'the service is not routed' },
  'LABEL.NETWORK_NOT_ATTACHED': { severity: 'error', harm: 'the service is not routed' },
  'LABEL.NETWORK_MISSING': { severity: 'error', harm: 'the service is not routed' },
  'LABEL.NETWORK_AMBIGUOUS': { severity: 'warn', harm: 'none: one of the networks was chosen' },
  'LABEL.NETWORK_NOT_OFFERED': { severity: 'error', harm: 'the service is not routed' },
  'LABEL.SERVICE_CLUSTER_UNKNOWN': { severity: 'error', harm: 'the service is not routed' },
  'LABEL.CONTEXT_ROOT_INVALID': { severity: 'error', harm: 'the service is not routed' },
  'LABEL.COMBINATION': { severity: 'warn', harm: 'the label is ignored' },
  'LABEL.UNKNOWN': { severity: 'warn', harm: 'the label is ignored' },
  'LABEL.VALUE_INVALID': { severity: 'error', harm: 'the label is ignored' },
  'LABEL.ON_CONTAINER': { severity: 'warn', harm: 'the labels are ignored' },
  'ROUTE.OPTIONS_DIFFER': { severity: 'warn', harm: "the oldest service's options are used for the pool" },
  'ROUTE.TLS_BY_YOUNGER': { severity: 'info', harm: 'none: the oldest service that asks for TLS decides for the host' },
  'ROUTE.TLS_CONFLICT': { severity: 'error', harm: 'the younger service is not routed on that host' },
  'ROUTE.REDIRECT_LOOP': { severity: 'error', harm: 'the redirect is not made' },
  'ROUTE.REDIRECT_UNREACHABLE': { severity: 'warn', harm: 'the redirect is not made' },
  'ROUTE.HOST_PORT_MISSING': { severity: 'error', harm: 'the service has no endpoints: its routes answer 503' },
  'ROUTE.VIP_MISSING': { severity: 'warn', harm: "none: the tasks' own addresses are used" },
  'ROUTE.PINNED': {
    severity: 'warn',
    harm: 'none: changes of labels show in the service cluster after `interlock unpin`',
  },
  'ROUTE.PIN_UNREADABLE': {
    severity: 'error',
    harm: 'that pin has no effect: the one known before it holds, or the labels when there was none',
  },
  'ROUTE.PINNED_SERVICE_GONE': { severity: 'warn', harm: 'the pinned routes of the service answer 503' },
  'SECRET.MISSING': {
    severity: 'error',
    harm: 'the hosts have no TLS; where it is the CA of `ssl_backend_ca`, the routes answer 503',
  },
  'SETTINGS.KEY_UNKNOWN': { severity: 'warn', harm: 'the key is ignored' },
  'SETTINGS.NOT_IN_EFFECT': { severity: 'warn', harm: 'the key is accepted and has no effect in this version' },
  'SETTINGS.NO_SUCH_EXTENSION': {
    severity: 'warn',
    harm: 'keys that only HAProxy has are ignored; images stay as named',
  },
  'SETTINGS.CERTIFICATE_OUT_OF_TIME': {
    severity: 'error',
    harm: 'no extension and no proxy talks to core; proxies serve on',
  },
  'SETTINGS.IMAGE_MAPPED': { severity: 'info', harm: 'none: our image of the same role is used' },
  'SETTINGS.CONSTRAINT_REWRITTEN': { severity: 'info', harm: 'none: `=` is read as `==`' },
  'FEED.NOT_WATCHING': { severity: 'warn', harm: 'none: task changes are found by polling, which is slower' },
  'RENDER.CHECK_FAILED': { severity: 'error', harm: 'the last good configuration keeps serving' },
  'RENDER.SERVICE_LEFT_OUT': { severity: 'error', harm: 'the service is not routed; all others are' },
  'RENDER.OTHER': { severity: 'warn', harm: "what the extension's own words in the advice say" },
  'DELIVERY.REFUSED': { severity: 'error', harm: 'the proxies keep their last configuration' },
  'DELIVERY.NETWORK_NOT_ATTACHED': {
    severity: 'warn',
    harm: 'a proxy that is not on the network yet answers 503 for its routes',
  },
  'SECRET.NOT_MOUNTED': {
    severity: 'warn',
    harm: 'the hosts that use it have no TLS on that proxy until it is rolled',
  },
  'SECRET.UNREADABLE': { severity: 'error', harm: 'the hosts that use it lose TLS' },
  'SECRET.NOT_PEM': { severity: 'error', harm: 'the hosts that use it lose TLS' },
  'SECRET.KEY_MISMATCH': { severity: 'error', harm: 'the hosts that use it lose TLS' },
  'SECRET.KEY_ENCRYPTED': { severity: 'error', harm: 'the hosts that use it lose TLS' },
  'SECRET.KEY_TOO_SMALL': { severity: 'error', harm: 'the hosts that use it lose TLS' },
  'SECRET.EXPIRED': { severity: 'warn', harm: 'clients warn or refuse; it still serves' },
  'SECRET.EXPIRES_SOON': { severity: 'info', harm: 'none yet' },
  'SECRET.HOST_NOT_COVERED': { severity: 'warn', harm: 'clients of that host warn or refuse' },
  'SECRET.CA_UNUSABLE': { severity: 'error', harm: 'the services that it verifies answer 502' },
  'PUBLISH.NAME_TAKEN': { severity: 'error', harm: 'the service of ours is not created' },
  'PUBLISH.CONFIG_TOO_LARGE': { severity: 'error', harm: 'the last good configuration keeps serving' },
  'PUBLISH.REFUSED': { severity: 'error', harm: 'what runs keeps its last settings and configuration' },
  'PUBLISH.ROLL_FAILED': { severity: 'error', harm: 'the last good configuration keeps serving' },
  'PUBLISH.ROLL_STUCK': { severity: 'error', harm: 'the task does not start; tasks that run go on' },
  'PUBLISH.ROLL_SLOW': { severity: 'warn', harm: 'the task has not started yet; tasks that run go on' },
  'PUBLISH.NO_AGENT_SESSION': { severity: 'warn', harm: 'each change rolls the proxy service (classic mode)' },
  'PUBLISH.CONSTRAINT_UNMATCHED': {
    severity: 'error',
    harm: 'no task of the service can start; those that run go on until they end',
  },
  'PUBLISH.PREFERENCE_UNMATCHED': { severity: 'warn', harm: 'none: tasks are spread as without it' },
  'PUBLISH.TLS_SECRET_MISSING': { severity: 'error', harm: 'no service is made or rolled; what runs serves on' },
  'PUBLISH.NETWORK_UNKNOWN': { severity: 'error', harm: 'the proxy does not join that network' },
} as const satisfies Record<string, { severity: FindingSeverity; harm: string }>;

export type FindingCode = keyof typeof FINDINGS;

const MAX_VALUE = 120;

/** Fills in severity from the table and cuts the value. */
export function createFinding(
  code: FindingCode,
  advice: string,
  about: {
    readonly service?: string;
    readonly serviceCluster?: string;
    readonly subject?: string;
    readonly value?: string;
  } = {},
): Finding {
  return {
    code,
    severity: FINDINGS[code].severity,
    service: about.service,
    serviceCluster: about.serviceCluster,
    subject: about.subject,
    value: about.value === undefined ? undefined : cutValue(about.value),
    advice,
  };
}

function cutValue(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out
  const clean = value.slice(0, MAX_VALUE + 1).replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, '\u00b7');
  return clean.length > MAX_VALUE ? `${clean.slice(0, MAX_VALUE)}\u2026` : clean;
}

/** One text per finding; equal findings have equal keys, so a log can name each once per change. */
export function findingKey(finding: Finding): string {
  return JSON.stringify([finding.code, finding.service, finding.serviceCluster, finding.subject, finding.value]);
}

const MOST_PER_CODE = 10;

/** Each once, and ten of a kind for each service: one with a thousand hosts says the same of each of them. */
export function boundFindings(findings: readonly Finding[]): readonly Finding[] {
  const byKind = new Map<string, Map<string, Finding>>();
  for (const finding of findings) {
    const kind = JSON.stringify([finding.code, finding.service]);
    const known = byKind.get(kind) ?? new Map<string, Finding>();
    byKind.set(kind, known);
    const key = findingKey(finding);
    known.set(key, known.get(key) ?? finding);
  }
  return [...byKind.values()].flatMap((known) => firstTen([...known.values()]));
}

function firstTen(findings: readonly Finding[]): readonly Finding[] {
  const shown = findings.slice(0, MOST_PER_CODE);
  const [last] = shown.slice(-1);
  return last === undefined || findings.length === shown.length
    ? shown
    : [
        ...shown.slice(0, -1),
        { ...last, advice: `${last.advice} (${findings.length - shown.length} more like this are not shown.)` },
      ];
}
