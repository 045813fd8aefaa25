/** argv -> what to do. Pure: the caller prints and exits. */
import { parseArgs } from 'node:util';
import { COMMANDS, type CommandEntry } from './commands/index.ts';

export type Command =
  | { readonly kind: 'core'; readonly configPath: string; readonly debug: boolean }
  | { readonly kind: 'extension'; readonly debug: boolean }
  | { readonly kind: 'agent'; readonly debug: boolean; readonly nginxArgs: readonly string[] }
  /** A command for people; `argv` without its name. */
  | { readonly kind: 'tool'; readonly tool: CommandEntry; readonly argv: readonly string[] }
  | { readonly kind: 'version' }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'usage-error'; readonly message: string };

const COLUMN = 33;

const HELP = `interlock: layer-7 ingress for Docker Swarm

Usage: daemons
  interlock core [-c FILE] [-D]     the daemon on a manager: watches Swarm, serves models, rolls proxies
  interlock run [-c FILE]           the same, as stack files of the original Interlock say it
  interlock extension nginx [-D]    the daemon that renders NGINX configuration
  interlock agent [-D] [-- ARGS]    the daemon in the proxy: runs NGINX; ARGS go to NGINX

Usage: for people
${COMMANDS.map(lineOf).join('')}  interlock version
  interlock help
  interlock COMMAND --help          more about one of these

Options of the daemons
  -c, --config FILE   config.toml (default: /config.toml)
  -D, --debug         debug logs
  -h, --help          this text

The extension and the agent take their settings from the environment, which core fills in:
  INTERLOCK_ENDPOINT     host:port of core's gRPC API
  INTERLOCK_EXTENSION    name of the [Extensions.<name>] table they serve
  INTERLOCK_CONFIG_PATH  where the agent finds NGINX's file
  INTERLOCK_NGINX        the NGINX binary (default: nginx)
`;

/** A summary stands below its command where that is too long for the column. */
function lineOf({ name, operands, summary }: CommandEntry): string {
  const usage = `interlock ${name} ${operands}`.trimEnd();
  const gap = usage.length > COLUMN ? `\n${' '.repeat(COLUMN + 3)}` : ' '.repeat(COLUMN + 1 - usage.length);
  return `  ${usage}${gap}${summary}\n`;
}

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  debug: { type: 'boolean', short: 'D' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

/** `argv` without the interpreter and the script. Options may stand before a daemon's name, as the original's `-D run -c FILE` has it. */
export function parseCommandLine(argv: readonly string[]): Command {
  const tool = toolOf(argv[0]);
  if (tool !== undefined) {
    return { kind: 'tool', tool, argv: argv.slice(1) };
  }
  const end = argv.indexOf('--');
  const own = end < 0 ? argv : argv.slice(0, end);
  const rest = end < 0 ? [] : argv.slice(end + 1);
  try {
    const { values, positionals } = parseArgs({ args: [...own], options: OPTIONS, allowPositionals: true });
    if (values.help === true) {
      return { kind: 'help', text: HELP };
    }
    if (values.version === true) {
      return { kind: 'version' };
    }
    if (rest.length > 0 && positionals[0] !== 'agent') {
      return { kind: 'usage-error', message: `unexpected: -- ${rest.join(' ')} (only the agent passes arguments on)` };
    }
    return commandOf(positionals, { configPath: values.config ?? '/config.toml', debug: values.debug ?? false }, rest);
  } catch (error) {
    return { kind: 'usage-error', message: error instanceof Error ? error.message : String(error) };
  }
}

function toolOf(name: string | undefined): CommandEntry | undefined {
  return COMMANDS.find((command) => command.name === name);
}

function helpOf(name: string | undefined): Command {
  const tool = toolOf(name);
  return tool === undefined ? { kind: 'help', text: HELP } : { kind: 'tool', tool, argv: ['--help'] };
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
      return helpOf(operands[0]);
    default:
      return { kind: 'usage-error', message: strayOf(name) };
  }
}

function strayOf(name: string): string {
  return toolOf(name) === undefined ? `unknown command: ${name}` : `options of interlock ${name} stand behind its name`;
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
