/**
 * The `com.docker.lb.*` labels of one service to a RoutingIntent.
 * Comes in: a Service of the Snapshot. Goes out: its intent, or why it has none, and a finding for every label that cannot be used.
 * A bad label harms its own service only. The order of labels never matters.
 */
import { compareText } from '../model/cluster.ts';
import { createFinding, type Finding, type FindingCode } from '../model/finding.ts';
import type { Balance, RoutingIntent, TlsIntent, UpstreamTls } from '../model/intent.ts';
import { ROOT_PATH } from '../model/names.ts';
import { nearestName } from '../model/nearest-name.ts';
import type { Service } from '../model/snapshot.ts';
import { findIgnoredLabels, strayRedirects } from './combinations.ts';
import {
  LABEL_NAMES,
  LABEL_PREFIX,
  LABELS,
  type LabelDefinition,
  type LabelName,
  type LabelValues,
} from './label-table.ts';

export type LabelOutcome =
  /** No label of ours at all. */
  | { readonly kind: 'not-ours' }
  | { readonly kind: 'intent'; readonly intent: RoutingIntent; readonly findings: readonly Finding[] }
  /** The service is not routed; the findings say why. */
  | { readonly kind: 'unusable'; readonly findings: readonly Finding[] };

export function parseLabels(service: Service): LabelOutcome {
  const own = ownLabels(service.labels);
  const misplaced = ownLabels(service.containerLabels).filter((name) => !Object.hasOwn(service.labels, name));
  const mistyped = Object.keys(service.labels).sort(compareText).flatMap(noteMistyped);
  if (own.length + misplaced.length + mistyped.length === 0) {
    return { kind: 'not-ours' };
  }
  const read = readAll(service.labels);
  const { values, ignored } = settle(read.values);
  const notes = [
    ...read.notes,
    ...ignored,
    ...own.filter(isUnknown).map(noteUnknown),
    ...mistyped,
    ...noteMisplaced(misplaced),
    ...noteMissingHosts(values, read.notes),
  ];
  const cluster = values.service_cluster;
  const findings = atMost(MAX_NOTES, notes).map((note) => toFinding(note, service, cluster));
  const routable = !read.lost && (values.hosts.length > 0 || values.default_backend);
  return routable ? { kind: 'intent', intent: toIntent(service, values), findings } : { kind: 'unusable', findings };
}

/** A finding before it knows its service. */
interface Note {
  readonly code: FindingCode;
  readonly label: string;
  readonly text: string | undefined;
  readonly advice: string;
}

function ownLabels(labels: Service['labels']): readonly string[] {
  return Object.keys(labels)
    .filter((name) => name.startsWith(LABEL_PREFIX))
    .sort(compareText);
}

interface ReadLabels {
  readonly values: LabelValues;
  readonly notes: readonly Note[];
  /** A label whose loss costs the service was refused. */
  readonly lost: boolean;
}

function readAll(labels: Service['labels']): ReadLabels {
  const read = LABEL_NAMES.map((name) => readOne(name, labels));
  return {
    // The table's keys and types are `LabelValues`'s own; entries lose them.
    values: Object.fromEntries(read.map(({ name, value }) => [name, value])) as unknown as LabelValues,
    notes: read.flatMap(({ notes }) => notes),
    lost: read.some(({ lost }) => lost),
  };
}

interface ReadLabel {
  readonly name: LabelName;
  readonly value: unknown;
  readonly notes: readonly Note[];
  readonly lost: boolean;
}

function readOne(name: LabelName, labels: Service['labels']): ReadLabel {
  const definition: LabelDefinition<unknown> = LABELS[name];
  const label = LABEL_PREFIX + name;
  const text = Object.hasOwn(labels, label) ? (labels[label] ?? '').trim() : '';
  if (text === '') {
    return { name, value: definition.fallback, notes: [], lost: false };
  }
  const { value, complaints } = definition.read(text);
  return {
    name,
    value: value ?? definition.fallback,
    notes: atMost(MAX_COMPLAINTS, complaints).map((complaint) => ({
      code: definition.refusal.code,
      label,
      ...complaint,
    })),
    lost: complaints.length > 0 && definition.refusal.loses === 'service',
  };
}

/** A value of 64 KiB can hold thousands of bad entries, a service thousands of labels; a few of them tell enough. */
const MAX_COMPLAINTS = 10;
const MAX_NOTES = 50;
/** A label's name may be as long as its value; the names of our own are short. */
const MAX_SUBJECT = 128;

function atMost<Item extends { readonly advice: string }>(most: number, items: readonly Item[]): readonly Item[] {
  const more = items.length - most;
  const shown = items.slice(0, most);
  return more <= 0
    ? shown
    : shown.map((item, position) =>
        position === most - 1 ? { ...item, advice: `${item.advice} (${more} more like this are not shown.)` } : item,
      );
}

/** Takes out what cannot work together with the rest. */
function settle(values: LabelValues): { readonly values: LabelValues; readonly ignored: readonly Note[] } {
  const ignored = findIgnoredLabels(values);
  const stray = new Set(strayRedirects(values));
  const defaults = Object.fromEntries(ignored.map(({ label }) => [label, LABELS[label].fallback]));
  return {
    values: {
      ...values,
      hosts: [...new Set(values.hosts)].sort(compareText),
      redirects: values.redirects.filter((redirect) => !stray.has(redirect)),
      ...defaults,
    },
    ignored: [
      ...ignored.map(({ label, advice }) => ({
        code: 'LABEL.COMBINATION' as const,
        label: LABEL_PREFIX + label,
        text: undefined,
        advice,
      })),
      ...[...stray].map(({ source }) => ({
        code: 'LABEL.VALUE_INVALID' as const,
        label: `${LABEL_PREFIX}redirects`,
        text: `${source.scheme}://${source.host}`,
        advice: `A redirect starts at a host of the service. Add ${source.host} to com.docker.lb.hosts.`,
      })),
    ],
  };
}

function isUnknown(label: string): boolean {
  return !Object.hasOwn(LABELS, label.slice(LABEL_PREFIX.length));
}

/** Those beyond the ones that are shown are counted only: to find the nearest name is what costs. */
function noteUnknown(label: string, position: number): Note {
  const near = position < MAX_NOTES ? nearestName(label.slice(LABEL_PREFIX.length), LABEL_NAMES) : undefined;
  const advice =
    near === undefined ? 'There is no such label.' : `There is no such label. Did you mean ${LABEL_PREFIX}${near}?`;
  return { code: 'LABEL.UNKNOWN', label, text: undefined, advice };
}

/** Beginnings that people write instead of ours; what follows must be a label's name, so nobody else's label is meant. */
const MISTYPED = /^(?:com\.)?(?:docker|mirantis)(?:\.ucp)?(?:\.(?:interlock|lbs?))+[._-]/i;

function noteMistyped(label: string): readonly Note[] {
  const begin = label.startsWith(LABEL_PREFIX) ? undefined : mistypedPrefix(label);
  const name = begin === undefined ? '' : label.slice(begin.length).toLowerCase();
  return Object.hasOwn(LABELS, name)
    ? [
        {
          code: 'LABEL.UNKNOWN',
          label,
          text: undefined,
          advice: `It is not read. Did you mean ${LABEL_PREFIX}${name}?`,
        },
      ]
    : [];
}

function mistypedPrefix(label: string): string | undefined {
  const known = MISTYPED.exec(label)?.[0];
  const begin = label.slice(0, label.lastIndexOf('.') + 1);
  return known ?? (isOneSlip(begin.toLowerCase(), LABEL_PREFIX) ? begin : undefined);
}

/** One character is another or missing, or two stand in each other's place. */
function isOneSlip(text: string, meant: string): boolean {
  if (text.length > meant.length) {
    return false;
  }
  let from = 0;
  while (from < meant.length && text[from] === meant[from]) {
    from += 1;
  }
  let behind = 0;
  while (behind < Math.min(text.length, meant.length) - from && text.at(-1 - behind) === meant.at(-1 - behind)) {
    behind += 1;
  }
  const differing = text.slice(from, text.length - behind);
  const expected = meant.slice(from, meant.length - behind);
  const isSwapped = differing.length === 2 && differing === `${expected[1] ?? ''}${expected[0] ?? ''}`;
  return isSwapped || (differing.length <= 1 && expected.length <= 1);
}

function noteMisplaced(labels: readonly string[]): readonly Note[] {
  const [first] = labels;
  const advice =
    'Labels on containers are not read. Move them to the service: in a stack file, from "labels" to "labels" under "deploy".';
  return first === undefined ? [] : [{ code: 'LABEL.ON_CONTAINER', label: first, text: labels.join(', '), advice }];
}

/** Said only where no complaint about the hosts says it already. */
function noteMissingHosts({ hosts, default_backend }: LabelValues, notes: readonly Note[]): readonly Note[] {
  const label = `${LABEL_PREFIX}hosts`;
  return hosts.length > 0 || default_backend || notes.some((note) => note.code === 'LABEL.HOSTS_INVALID')
    ? []
    : [{ code: 'LABEL.HOSTS_MISSING', label, text: undefined, advice: 'Say which host names the service answers.' }];
}

function toFinding({ code, label, text, advice }: Note, { name }: Service, serviceCluster: string): Finding {
  const about = { service: name, serviceCluster, subject: shownName(label) };
  return createFinding(code, advice, text === undefined ? about : { ...about, value: text });
}

/** Anybody's text, like a value: printed to terminals and logs, so cut and without control characters. */
function shownName(label: string): string {
  return label.slice(0, MAX_SUBJECT).replace(/\p{C}/gu, '\u00b7');
}

function toIntent({ id, name, createdAt }: Service, values: LabelValues): RoutingIntent {
  return {
    service: { id, name, createdAt },
    serviceCluster: values.service_cluster,
    hosts: values.hosts,
    defaultBackend: values.default_backend,
    port: values.port,
    network: values.network,
    backendMode: values.backend_mode,
    weight: values.weight,
    contextRoot: {
      prefix: values.context_root,
      rewrite: values.context_root_rewrite && values.context_root !== ROOT_PATH,
    },
    tls: toTls(values),
    balance: toBalance(values),
    upstreamTls: toUpstreamTls(values),
    failure: { maxFails: values.max_fails, failTimeoutSeconds: values.fail_timeout },
    websocketEndpoints: values.websocket_endpoints,
    redirects: values.redirects,
  };
}

function toTls({ ssl_passthrough, ssl_cert, ssl_key, ssl_only }: LabelValues): TlsIntent {
  if (ssl_passthrough) {
    return { kind: 'passthrough' };
  }
  return ssl_cert === undefined
    ? { kind: 'none' }
    : { kind: 'terminate', certificate: ssl_cert, key: ssl_key, only: ssl_only };
}

function toBalance({ sticky_session_cookie, ip_hash }: LabelValues): Balance {
  if (sticky_session_cookie !== undefined) {
    return { kind: 'cookie', cookie: sticky_session_cookie };
  }
  return { kind: ip_hash ? 'client-address' : 'round-robin' };
}

function toUpstreamTls({ ssl_backend, ssl_backend_tls_verify, ssl_backend_ca }: LabelValues): UpstreamTls {
  if (!ssl_backend) {
    return { kind: 'off' };
  }
  return {
    kind: 'on',
    verify: ssl_backend_tls_verify === 'none' ? { kind: 'none' } : { kind: 'required', ca: ssl_backend_ca },
  };
}
