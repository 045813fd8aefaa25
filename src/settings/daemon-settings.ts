/**
 * What core puts into the environment of the services it makes, read by the extension and the agent.
 * In: an environment. Out: settings, or all problems at once with the variable's name as path.
 */
import type { SettingsProblem } from './problem.ts';
import { describeFound } from './problem.ts';

export interface ExtensionDaemonSettings {
  /** `host:port` of core's gRPC API, or `unix:<path>`. */
  readonly endpoint: string;
  /** The name of the `[Extensions.<name>]` table it renders for. */
  readonly extension: string;
  /** The NGINX that checks files: a name on the PATH or a path. Default `nginx`. */
  readonly nginxBinary: string;
  /** Where the role's token is mounted; the file may be missing. Default `/run/secrets/interlock-token`. */
  readonly tokenFile: string;
  /** Where the certificate, its key and core's CA are mounted; `undefined`: plain. */
  readonly tls: DaemonTls | undefined;
  /** Where probes and scrapes are answered, on the network that leads to core; `undefined`: nowhere. */
  readonly metricsPort: number | undefined;
}

export interface AgentDaemonSettings {
  /** `undefined`: no core to talk to, which classic mode does not need. */
  readonly endpoint: string | undefined;
  readonly extension: string | undefined;
  /** `ProxyConfigPath`; default `/etc/nginx/nginx.conf`. */
  readonly configPath: string;
  readonly taskId: string | undefined;
  readonly nodeId: string | undefined;
  /** A name on the PATH or a path. Default `nginx`. */
  readonly nginxBinary: string;
  /** Where the role's token is mounted; the file may be missing. Default `/run/secrets/interlock-token`. */
  readonly tokenFile: string;
  /** Where the certificate, its key and core's CA are mounted; `undefined`: plain. */
  readonly tls: DaemonTls | undefined;
  /** Where probes and scrapes are answered, on the network that leads to core; `undefined`: nowhere. */
  readonly metricsPort: number | undefined;
  /** Where `/readyz` alone is answered, on every network; `undefined`: nowhere. */
  readonly readyPort: number | undefined;
  /** Between the word to stop and NGINX's; default 0. */
  readonly leaveDelayMs: number;
}

/** Absolute paths. */
export interface DaemonTls {
  readonly certPath: string;
  readonly keyPath: string;
  readonly caPath: string;
}

export type DaemonSettingsOutcome<Settings> =
  | { readonly ok: true; readonly settings: Settings }
  | { readonly ok: false; readonly problems: readonly SettingsProblem[] };

export type Environment = Readonly<Record<string, string | undefined>>;

export function parseExtensionSettings(env: Environment): DaemonSettingsOutcome<ExtensionDaemonSettings> {
  const endpoint = required(readEndpoint(env), 'INTERLOCK_ENDPOINT');
  const extension = required(readExtensionName(env), 'INTERLOCK_EXTENSION');
  const nginxBinary = readBinary(env);
  const tokenFile = readTokenFile(env);
  const metricsPort = readVariable(env, 'INTERLOCK_METRICS_PORT', PORT);
  const tls = readTls(env);
  return endpoint.ok && extension.ok && nginxBinary.ok && tokenFile.ok && metricsPort.ok && tls.ok
    ? {
        ok: true,
        settings: {
          endpoint: endpoint.value,
          extension: extension.value,
          nginxBinary: nginxBinary.value ?? DEFAULT_BINARY,
          tokenFile: tokenFile.value ?? DEFAULT_TOKEN_FILE,
          metricsPort: numberOf(metricsPort.value),
          tls: tls.value,
        },
      }
    : { ok: false, problems: problemsOf([endpoint, extension, nginxBinary, tokenFile, metricsPort, tls]) };
}

export function parseAgentSettings(env: Environment): DaemonSettingsOutcome<AgentDaemonSettings> {
  const endpoint = readEndpoint(env);
  const extension = readExtensionName(env);
  const configPath = readVariable(env, 'INTERLOCK_CONFIG_PATH', PATH);
  const taskId = readVariable(env, 'INTERLOCK_TASK_ID', ID);
  const nodeId = readVariable(env, 'INTERLOCK_NODE_ID', ID);
  const nginxBinary = readBinary(env);
  const tokenFile = readTokenFile(env);
  const metricsPort = readVariable(env, 'INTERLOCK_METRICS_PORT', PORT);
  const readyPort = readVariable(env, 'INTERLOCK_READY_PORT', PORT);
  const leaveDelay = readVariable(env, 'INTERLOCK_LEAVE_DELAY_MS', MILLISECONDS);
  const probes = metricsPort.ok && readyPort.ok && leaveDelay.ok;
  const tls = readTls(env);
  const identity = endpoint.ok && extension.ok && taskId.ok && nodeId.ok && tokenFile.ok && tls.ok;
  return identity && configPath.ok && nginxBinary.ok && probes
    ? {
        ok: true,
        settings: {
          endpoint: endpoint.value,
          extension: extension.value,
          configPath: configPath.value ?? DEFAULT_CONFIG_PATH,
          taskId: taskId.value,
          nodeId: nodeId.value,
          nginxBinary: nginxBinary.value ?? DEFAULT_BINARY,
          tokenFile: tokenFile.value ?? DEFAULT_TOKEN_FILE,
          metricsPort: numberOf(metricsPort.value),
          readyPort: numberOf(readyPort.value),
          leaveDelayMs: numberOf(leaveDelay.value) ?? 0,
          tls: tls.value,
        },
      }
    : {
        ok: false,
        problems: problemsOf([
          endpoint,
          extension,
          configPath,
          taskId,
          nodeId,
          nginxBinary,
          tokenFile,
          metricsPort,
          readyPort,
          leaveDelay,
          tls,
        ]),
      };
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

const DEFAULT_BINARY = 'nginx';
const DEFAULT_TOKEN_FILE = '/run/secrets/interlock-token';
const DEFAULT_CONFIG_PATH = '/etc/nginx/nginx.conf';

interface Grammar {
  readonly pattern: RegExp;
  readonly expected: string;
}

const ENDPOINT: Grammar = {
  pattern: /^(?:(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):\d{1,5}|unix:\/?[A-Za-z0-9._@/-]{1,100})$/,
  expected: "core's address such as tasks.interlock_core:8080",
};
const NAME: Grammar = {
  pattern: /^[^\p{C}\p{Zl}\p{Zp}]{1,128}$/u,
  expected: 'the name of an [Extensions.<name>] table',
};
const PATH: Grammar = { pattern: /^\/[A-Za-z0-9._+@/-]{1,255}$/, expected: 'an absolute path' };
const ID: Grammar = { pattern: /^[A-Za-z0-9._-]{1,128}$/, expected: "Swarm's id" };
const PORT: Grammar = {
  pattern: /^(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])$/,
  expected: 'a port from 1 to 65535',
};
const MILLISECONDS: Grammar = { pattern: /^\d{1,9}$/, expected: 'a number of milliseconds' };
const BINARY: Grammar = { pattern: /^[A-Za-z0-9._+@/-]{1,255}$/, expected: 'a program name or path' };

type Variable<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: SettingsProblem };

function readEndpoint(env: Environment): Variable<string | undefined> {
  return readVariable(env, 'INTERLOCK_ENDPOINT', ENDPOINT);
}

function readExtensionName(env: Environment): Variable<string | undefined> {
  return readVariable(env, 'INTERLOCK_EXTENSION', NAME);
}

function readBinary(env: Environment): Variable<string | undefined> {
  return readVariable(env, 'INTERLOCK_NGINX', BINARY);
}

function readTokenFile(env: Environment): Variable<string | undefined> {
  return readVariable(env, 'INTERLOCK_TOKEN_FILE', PATH);
}

/** All three, or none. */
function readTls(env: Environment): Variable<DaemonTls | undefined> {
  const cert = readVariable(env, 'INTERLOCK_TLS_CERT', PATH);
  const key = readVariable(env, 'INTERLOCK_TLS_KEY', PATH);
  const ca = readVariable(env, 'INTERLOCK_TLS_CA', PATH);
  if (!cert.ok || !key.ok || !ca.ok) {
    return [cert, key, ca].find((variable) => !variable.ok) ?? { ok: true, value: undefined };
  }
  const [certPath, keyPath, caPath] = [cert.value, key.value, ca.value];
  if (certPath === undefined && keyPath === undefined && caPath === undefined) {
    return { ok: true, value: undefined };
  }
  return certPath === undefined || keyPath === undefined || caPath === undefined
    ? {
        ok: false,
        problem: {
          path: 'INTERLOCK_TLS_CERT',
          found: 'a part of INTERLOCK_TLS_CERT, _KEY and _CA',
          expected: 'all three, or none',
        },
      }
    : { ok: true, value: { certPath, keyPath, caPath } };
}

/** A variable that is set to nothing counts as not set. */
function readVariable(env: Environment, name: string, { pattern, expected }: Grammar): Variable<string | undefined> {
  const value = env[name];
  if (value === undefined || value === '') {
    return { ok: true, value: undefined };
  }
  return pattern.test(value)
    ? { ok: true, value }
    : { ok: false, problem: { path: name, found: describeFound(value), expected } };
}

function required(variable: Variable<string | undefined>, name: string): Variable<string> {
  if (!variable.ok) {
    return variable;
  }
  return variable.value === undefined
    ? {
        ok: false,
        problem: { path: name, found: 'nothing', expected: 'a value; core sets it on the services it makes' },
      }
    : { ok: true, value: variable.value };
}

function problemsOf(variables: readonly Variable<unknown>[]): readonly SettingsProblem[] {
  return variables.flatMap((variable) => (variable.ok ? [] : [variable.problem]));
}
