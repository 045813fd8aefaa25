/** argv -> what to do. Pure: the caller prints and exits. */
import { parseArgs } from 'node:util';

export type Command =
  | { readonly kind: 'core'; readonly configPath: string; readonly debug: boolean }
  | { readonly kind: 'extension'; readonly debug: boolean }
  | { readonly kind: 'agent'; readonly debug: boolean; readonly nginxArgs: readonly string[] }
  | {
      readonly kind: 'render';
      readonly configPath: string;
      readonly statePath: string;
      readonly outPath: string;
      readonly cluster: string | undefined;
      readonly strict: boolean;
    }
  | { readonly kind: 'snapshot'; readonly outPath: string; readonly dockerUrl: string | undefined }
  | {
      readonly kind: 'uninstall';
      /** Exactly one of the two is given. */
      readonly stack: string | undefined;
      readonly extensions: readonly string[];
      readonly yes: boolean;
      readonly dryRun: boolean;
      readonly dockerUrl: string | undefined;
    }
  | { readonly kind: 'version' }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'usage-error'; readonly message: string };

const HELP = `interlock: layer-7 ingress for Docker Swarm

Usage
  interlock core [-c FILE] [-D]     the daemon on a manager: watches Swarm, serves models, rolls proxies
  interlock run [-c FILE]           the same, as stack files of the original Interlock say it
  interlock extension nginx [-D]    the daemon that renders NGINX configuration
  interlock agent [-D] [-- ARGS]    the daemon in the proxy: runs NGINX; ARGS go to NGINX
  interlock snapshot --out DIR      save what core sees of a live Swarm as files
  interlock render ...              what the proxies would serve, from such files; needs no engine
  interlock uninstall ...           remove what core made in Swarm
  interlock version
  interlock help
  interlock COMMAND --help          more about render, snapshot and uninstall

Options
  -c, --config FILE   config.toml (default: /config.toml)
  -D, --debug         debug logs
  -h, --help          this text

The extension and the agent take their settings from the environment, which core fills in:
  INTERLOCK_ENDPOINT     host:port of core's gRPC API
  INTERLOCK_EXTENSION    name of the [Extensions.<name>] table they serve
  INTERLOCK_CONFIG_PATH  where the agent finds NGINX's file
  INTERLOCK_NGINX        the NGINX binary (default: nginx)
`;

const RENDER_HELP = `interlock render: what would this config.toml and these labels do? Needs no engine and changes nothing.

Usage
  interlock render --config config.toml --state DIR --out DIR [--cluster NAME] [--strict]

Options
  -c, --config FILE   config.toml (default: /config.toml)
  --state DIR         folder with services.json, tasks.json, networks.json, nodes.json and secrets.json: each the array
                      that the Engine API's list call returns. "interlock snapshot" saves one; edit it as you like.
  --out DIR           where to write; new, empty, or left by an earlier render, which is replaced
  --cluster NAME      only the extension with this ServiceCluster ("" is the default cluster)
  --strict            exit code 1 when there is a finding at level error; for CI

Writes
  DIR/<extension>/nginx.conf   the file that the proxies of [Extensions.<extension>] would serve
  DIR/findings.json            everything wrong with settings and labels: code, severity, service, subject, value, advice

Exit codes
  0   written            1   not written, or an error with --strict            64   wrong usage

Example: try a label before you deploy it
  core=$(docker ps -qf name=interlock_core)                        # on the manager that runs core; /dev/shm is writable there
  docker exec $core interlock snapshot --out /dev/shm/state
  docker exec $core tar -cC /dev/shm state | tar -x
  interlock render -c config.toml --state state --out before
  # edit state/services.json, e.g. Spec.Labels of one service
  interlock render -c config.toml --state state --out after; diff -r before after
`;

const SNAPSHOT_HELP = `interlock snapshot: save what core sees of a live Swarm, for "interlock render" and for bug reports.

Usage
  interlock snapshot --out DIR [-H URL]

Options
  --out DIR       where to write; new, empty, or left by an earlier snapshot, which is replaced
  -H, --host URL  the engine of a manager (default: $DOCKER_HOST, else unix:///var/run/docker.sock)

Writes services.json, tasks.json, networks.json, nodes.json and secrets.json: names, ids, labels, addresses, states and ports.
No secret's data, no environment, no arguments and no mounts of any service.
`;

const UNINSTALL_HELP = `interlock uninstall: remove what core made in Swarm: its services, Proxy Configs and token secrets.

Usage
  interlock uninstall --stack NAME [--dry-run] [--yes] [-H URL]
  interlock uninstall --extension NAME [--extension NAME] [--dry-run] [--yes] [-H URL]

Options
  --stack NAME      what the core of this stack made (docker stack rm NAME takes it along too, with core itself)
  --extension NAME  what a core outside of any stack made for [Extensions.NAME]
  --dry-run         say what would go; remove nothing
  --yes             do not ask
  -H, --host URL    the engine of a manager (default: $DOCKER_HOST, else unix:///var/run/docker.sock)

Core has to be gone first, or it makes everything again; the command stops while it runs and says how to remove it.
Networks, certificates and configs of yours stay.

Exit codes
  0   removed, or there was nothing            1   something is still there            64   wrong usage

Example
  docker service rm interlock_core
  docker run --rm -it -v /var/run/docker.sock:/var/run/docker.sock -u 0:0 interlock/core:0.1.0 uninstall --stack interlock
`;

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  debug: { type: 'boolean', short: 'D' },
  state: { type: 'string' },
  out: { type: 'string' },
  cluster: { type: 'string' },
  strict: { type: 'boolean' },
  host: { type: 'string', short: 'H' },
  stack: { type: 'string' },
  extension: { type: 'string', multiple: true },
  yes: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

/** `argv` without the interpreter and the script. Options may stand before the command, as the original's `-D run -c FILE` has it. */
export function parseCommandLine(argv: readonly string[]): Command {
  const end = argv.indexOf('--');
  const own = end < 0 ? argv : argv.slice(0, end);
  const rest = end < 0 ? [] : argv.slice(end + 1);
  try {
    const { values, positionals } = parseArgs({ args: [...own], options: OPTIONS, allowPositionals: true });
    if (values.help === true) {
      return { kind: 'help', text: helpOf(positionals[0]) };
    }
    if (values.version === true) {
      return { kind: 'version' };
    }
    if (rest.length > 0 && positionals[0] !== 'agent') {
      return { kind: 'usage-error', message: `unexpected: -- ${rest.join(' ')} (only the agent passes arguments on)` };
    }
    const [name] = positionals;
    if (name === 'render' || name === 'snapshot') {
      return fileCommandOf(name, positionals.slice(1), values);
    }
    if (name === 'uninstall') {
      return uninstallOf(positionals.slice(1), values);
    }
    const stray = Object.keys(values).find((key) => TOOL_OPTIONS.has(key));
    if (stray !== undefined) {
      return { kind: 'usage-error', message: `--${stray} belongs to interlock render, snapshot or uninstall` };
    }
    return commandOf(positionals, { configPath: values.config ?? '/config.toml', debug: values.debug ?? false }, rest);
  } catch (error) {
    return { kind: 'usage-error', message: error instanceof Error ? error.message : String(error) };
  }
}

const HELP_OF: ReadonlyMap<string, string> = new Map([
  ['render', RENDER_HELP],
  ['snapshot', SNAPSHOT_HELP],
  ['uninstall', UNINSTALL_HELP],
]);

function helpOf(name: string | undefined): string {
  return HELP_OF.get(name ?? '') ?? HELP;
}

/** Options of the commands that are no daemons. */
const TOOL_OPTIONS: ReadonlySet<string> = new Set([
  ...['state', 'out', 'cluster', 'strict', 'host'],
  ...['stack', 'extension', 'yes', 'dry-run'],
]);
const TAKES = {
  render: new Set(['config', 'state', 'out', 'cluster', 'strict', 'debug']),
  snapshot: new Set(['config', 'out', 'host', 'debug']),
  uninstall: new Set(['stack', 'extension', 'yes', 'dry-run', 'host', 'debug']),
} as const;

interface UninstallValues {
  readonly stack?: string | undefined;
  readonly extension?: readonly string[] | undefined;
  readonly yes?: boolean | undefined;
  readonly 'dry-run'?: boolean | undefined;
  readonly host?: string | undefined;
}

function uninstallOf(operands: readonly string[], values: UninstallValues): Command {
  const fail = (message: string): Command => ({
    kind: 'usage-error',
    message: `interlock uninstall: ${message} (interlock uninstall --help)`,
  });
  const stray = Object.keys(values).find((key) => !TAKES.uninstall.has(key));
  const { stack, extension: extensions = [], yes = false, 'dry-run': dryRun = false, host } = values;
  if (operands.length > 0 || stray !== undefined) {
    return fail(`unexpected: ${operands.length > 0 ? operands.join(' ') : `--${stray}`}`);
  }
  if (stack === '' || extensions.includes('')) {
    return fail('a name is missing');
  }
  if ((stack === undefined) === (extensions.length === 0)) {
    return fail('say whose things are to go, with --stack NAME or with --extension NAME');
  }
  return { kind: 'uninstall', stack, extensions, yes, dryRun, dockerUrl: host };
}

interface FileValues {
  readonly config?: string | undefined;
  readonly state?: string | undefined;
  readonly out?: string | undefined;
  readonly cluster?: string | undefined;
  readonly strict?: boolean | undefined;
  readonly host?: string | undefined;
}

function fileCommandOf(name: 'render' | 'snapshot', operands: readonly string[], values: FileValues): Command {
  const fail = (message: string): Command => ({
    kind: 'usage-error',
    message: `interlock ${name}: ${message} (interlock ${name} --help)`,
  });
  const stray = Object.keys(values).find((key) => !TAKES[name].has(key));
  const { config = '/config.toml', state, out, cluster, strict = false, host } = values;
  if (operands.length > 0 || stray !== undefined) {
    return fail(`unexpected: ${operands.length > 0 ? operands.join(' ') : `--${stray}`}`);
  }
  if (out === undefined || out === '') {
    return fail('say where to write with --out DIR');
  }
  if (name === 'snapshot') {
    return { kind: 'snapshot', outPath: out, dockerUrl: host };
  }
  if (state === undefined || state === '') {
    return fail('say which Swarm with --state DIR, a folder that interlock snapshot wrote');
  }
  return { kind: 'render', configPath: config, statePath: state, outPath: out, cluster, strict };
}

function commandOf(
  [name, ...operands]: readonly string[],
  options: { readonly configPath: string; readonly debug: boolean },
  rest: readonly string[],
): Command {
  switch (name) {
    case 'core':
    case 'run':
      return onlyWhen(operands.length === 0, operands, { kind: 'core', ...options });
    case 'extension':
      return onlyWhen(operands.length === 1 && operands[0] === 'nginx', operands, {
        kind: 'extension',
        debug: options.debug,
      });
    case 'agent':
      return onlyWhen(operands.length === 0, operands, { kind: 'agent', debug: options.debug, nginxArgs: rest });
    case 'version':
      return { kind: 'version' };
    case 'help':
    case undefined:
      return { kind: 'help', text: helpOf(operands[0]) };
    default:
      return { kind: 'usage-error', message: `unknown command: ${name}` };
  }
}

function onlyWhen(fits: boolean, operands: readonly string[], command: Command): Command {
  if (fits) {
    return command;
  }
  const message =
    command.kind === 'extension'
      ? `interlock extension: name the proxy; "nginx" is the only one of this version${operands[0] === undefined ? '' : `, not "${operands.join(' ')}"`}`
      : `unexpected: ${operands.join(' ')}`;
  return { kind: 'usage-error', message };
}
