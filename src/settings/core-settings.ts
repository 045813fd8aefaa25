/**
 * config.toml to frozen settings. All problems of a file are named at once; what can be lived with becomes a finding.
 * In: the file's text. Out: `CoreSettings`, or the problems that stop the start.
 */
import type { z } from 'zod';
import { compareText } from '../model/cluster.ts';
import type { Finding } from '../model/finding.ts';
import { CORE_SCHEMA, GRPC_SCHEMA } from './core-schema.ts';
import { findClashes } from './cross-checks.ts';
import { type ExtensionSettings, readExtension } from './extension-settings.ts';
import { OUR_IMAGES, type OurImages } from './images.ts';
import { isTable, type Reading, readTable, type WrittenKeys } from './key-table.ts';
import { joinPath, type SettingsProblem } from './problem.ts';
import { parseToml } from './toml.ts';
import { findWaitingKeys } from './waiting-keys.ts';

export type { ExtensionSettings } from './extension-settings.ts';
export { formatProblems, type SettingsProblem } from './problem.ts';

export interface CoreSettings {
  /** Where the gRPC API listens. Host `''`: the file names none. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Where probes and scrapes are answered; `undefined`: nowhere. Extensions and proxies take the port. */
  readonly metricsListen: { readonly host: string; readonly port: number } | undefined;
  readonly dockerUrl: string;
  /** `undefined`: no TLS towards the Docker API. */
  readonly dockerTls: DockerTls | undefined;
  readonly pollIntervalMs: number;
  /** `host:port` handed to extensions and proxies instead of `tasks.<core service>:<port>`. */
  readonly endpointOverride: string | undefined;
  readonly taskFeed: 'auto' | 'watch' | 'poll';
  readonly networkLingerMs: number;
  /** `0`: never. */
  readonly proxyConfigRefreshMs: number;
  /** Per proxy; `undefined`: no limit. */
  readonly reloadsPerMinute: number | undefined;
  /** Files for mutual TLS on the gRPC API; `undefined`: plain. */
  readonly grpcTls: GrpcTls | undefined;
  /** A file in core's container; `undefined`: operators come through the unix socket only. */
  readonly operatorTokenPath: string | undefined;
  /** Sorted by name; at least one. */
  readonly extensions: readonly ExtensionSettings[];
}

/** Paths of files in core's container. */
export interface DockerTls {
  readonly caPath: string | undefined;
  readonly certPath: string | undefined;
  readonly keyPath: string | undefined;
  /** Do not verify the engine's certificate. */
  readonly allowInsecure: boolean;
}

/** Mutual TLS. Paths of files in core's container, and names of Docker secrets for those who call. */
export interface GrpcTls {
  readonly certPath: string;
  readonly keyPath: string;
  readonly caPath: string;
  readonly clients: ClientTlsNames;
}

/** Names of Docker secrets that extensions and proxies carry. */
export interface ClientTlsNames {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export type CoreSettingsOutcome =
  | { readonly ok: true; readonly settings: CoreSettings; readonly findings: readonly Finding[] }
  /** The findings are those of the tables that could be read: an unknown key is often the reason of a problem beside it. */
  | { readonly ok: false; readonly problems: readonly SettingsProblem[]; readonly findings: readonly Finding[] };

/** Reads config.toml. `images` are ours, for tables that name the original's or none. Never throws. */
export function parseCoreSettings(
  tomlText: string,
  options: { readonly images?: OurImages } = {},
): CoreSettingsOutcome {
  const toml = parseToml(tomlText);
  if (!toml.ok) {
    return { ...toml, findings: [] };
  }
  const top = readTable(CORE_SCHEMA, toml.table, '');
  const grpc = readGrpc(top.written);
  const metricsPort = top.ok && top.values.MetricsListenAddr !== 'off' ? top.values.MetricsListenAddr.port : undefined;
  const extensions = readExtensions(top.written, options.images ?? OUR_IMAGES, metricsPort);
  const problems = [...problemsOf(top), ...grpc.problems, ...extensions.problems];
  const waiting = top.ok ? findWaitingKeys('core', CORE_SCHEMA, top) : [];
  const findings = [...top.findings, ...waiting, ...grpc.findings, ...extensions.findings];
  if (!top.ok || problems.length > 0) {
    return { ok: false, problems, findings };
  }
  return { ok: true, settings: deepFreeze(toCoreSettings(top.values, grpc, extensions.settings)), findings };
}

function problemsOf(reading: Reading<unknown>): readonly SettingsProblem[] {
  return reading.ok ? [] : reading.problems;
}

function toCoreSettings(
  table: z.output<typeof CORE_SCHEMA>,
  grpc: Pick<ReadGrpc, 'tls' | 'operatorTokenPath'>,
  extensions: readonly ExtensionSettings[],
): CoreSettings {
  return {
    listen: table.ListenAddr,
    metricsListen: table.MetricsListenAddr === 'off' ? undefined : table.MetricsListenAddr,
    dockerUrl: table.DockerURL,
    dockerTls: toDockerTls(table),
    pollIntervalMs: table.PollInterval,
    endpointOverride: table.EndpointOverride,
    taskFeed: table.TaskFeed,
    networkLingerMs: table.NetworkLinger,
    proxyConfigRefreshMs: table.ProxyConfigRefresh,
    reloadsPerMinute: table.ReloadsPerMinute,
    grpcTls: grpc.tls,
    operatorTokenPath: grpc.operatorTokenPath,
    extensions,
  };
}

function toDockerTls(table: z.output<typeof CORE_SCHEMA>): DockerTls | undefined {
  const tls = {
    caPath: table.TLSCACert,
    certPath: table.TLSCert,
    keyPath: table.TLSKey,
    allowInsecure: table.AllowInsecure,
  };
  const wanted = tls.caPath !== undefined || tls.certPath !== undefined || tls.keyPath !== undefined;
  return wanted || tls.allowInsecure || table.DockerURL.startsWith('https:') ? tls : undefined;
}

interface ReadGrpc {
  readonly tls: GrpcTls | undefined;
  readonly operatorTokenPath: string | undefined;
  readonly problems: readonly SettingsProblem[];
  readonly findings: readonly Finding[];
}

type GrpcKey = keyof typeof GRPC_SCHEMA.shape;

function readGrpc(top: WrittenKeys): ReadGrpc {
  const written = top.get('GRPC');
  const path = written?.path ?? 'GRPC';
  const reading = readTable(GRPC_SCHEMA, written?.raw ?? {}, path);
  if (!reading.ok) {
    const { problems, findings } = reading;
    return { tls: undefined, operatorTokenPath: undefined, problems, findings };
  }
  const { OperatorTokenFile: operatorTokenPath } = reading.values;
  const keys = (Object.keys(GRPC_SCHEMA.shape) as GrpcKey[]).filter((key) => key !== 'OperatorTokenFile');
  const missing = keys.filter((key) => reading.values[key] === undefined);
  const none = missing.length === keys.length;
  const tls = tlsOf(reading.values);
  const problem = { path, found: `nothing for ${missing.join(', ')}`, expected: 'all TLS keys, or none' };
  const problems = none || tls !== undefined ? [] : [problem];
  return { tls, operatorTokenPath, problems, findings: reading.findings };
}

function tlsOf(values: z.output<typeof GRPC_SCHEMA>): GrpcTls | undefined {
  const { TLSCert: certPath, TLSKey: keyPath, TLSCACert: caPath } = values;
  const { ClientTLSCert: cert, ClientTLSKey: key, ClientTLSCACert: ca } = values;
  const isWhole =
    certPath !== undefined &&
    keyPath !== undefined &&
    caPath !== undefined &&
    cert !== undefined &&
    key !== undefined &&
    ca !== undefined;
  return isWhole ? { certPath, keyPath, caPath, clients: { cert, key, ca } } : undefined;
}

interface ReadExtensions {
  readonly settings: readonly ExtensionSettings[];
  readonly problems: readonly SettingsProblem[];
  readonly findings: readonly Finding[];
}

function readExtensions(top: WrittenKeys, images: OurImages, metricsPort: number | undefined): ReadExtensions {
  const written = top.get('Extensions');
  const tables = written?.raw ?? {};
  if (!isTable(tables)) {
    // The top level's schema has named this problem already.
    return { settings: [], problems: [], findings: [] };
  }
  const path = written?.path ?? 'Extensions';
  const names = Object.keys(tables).sort(compareText);
  if (names.length === 0) {
    const problem = { path, found: 'no extension', expected: 'at least one table such as [Extensions.default]' };
    return { settings: [], problems: [problem], findings: [] };
  }
  const outcomes = names.map((name) => readExtension(name, tables[name], joinPath(path, name), images));
  const read = outcomes.filter((outcome) => outcome.ok);
  const clashes = findClashes(read.map((outcome) => ({ ...outcome.settings, metricsPort, path: outcome.path })));
  return {
    settings: read.map((outcome) => outcome.settings),
    problems: [...outcomes.flatMap((outcome) => (outcome.ok ? [] : outcome.problems)), ...clashes],
    findings: outcomes.flatMap((outcome) => outcome.findings),
  };
}

/** The same value, with every table and list in it frozen. */
function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
