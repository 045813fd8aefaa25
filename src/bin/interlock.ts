#!/usr/bin/env node
/** Text in -> settings -> main(signal) -> exit code. The only file that sees argv, the environment and process signals. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { agentMain } from '../agent/main.ts';
import { type Command, parseCommandLine } from '../cli/command-line.ts';
import { type CliOutcome, runRender } from '../cli/render.ts';
import { runSnapshot } from '../cli/snapshot.ts';
import { createDockerodeEngine } from '../core/engine/dockerode-engine.ts';
import { readRawLists } from '../core/engine/raw-lists.ts';
import { coreMain } from '../core/main.ts';
import { type Owner, uninstall } from '../core/uninstall.ts';
import { extensionMain } from '../extension/main.ts';
import { systemClock } from '../runtime/clock.ts';
import { ERRORS, isOperational, OperationalError, toError } from '../runtime/errors.ts';
import { createLogger, type Logger } from '../runtime/logging.ts';
import { formatProblems, parseCoreSettings } from '../settings/core-settings.ts';
import { parseAgentSettings, parseExtensionSettings } from '../settings/daemon-settings.ts';

/** sysexits.h: EX_USAGE. */
const USAGE = 64;

process.exitCode = await main(parseCommandLine(process.argv.slice(2)));

async function main(command: Command): Promise<number> {
  switch (command.kind) {
    case 'help':
      process.stdout.write(command.text);
      return 0;
    case 'version':
      process.stdout.write(`interlock ${packageVersion()}\n`);
      return 0;
    case 'usage-error':
      process.stderr.write(`${command.message}\nTry: interlock help\n`);
      return USAGE;
    case 'render':
      return runTool(() => render(command));
    case 'snapshot':
      return runTool((signal) => snapshot(command, signal));
    case 'uninstall':
      return remove(command);
    case 'core':
      return runDaemon('core', command.debug, runCore(command.configPath));
    case 'extension':
      return runDaemon('extension', command.debug, runExtension);
    case 'agent':
      return runDaemon('agent', command.debug, runAgent(command.nginxArgs));
  }
}

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

/** A command for people: its text goes to standard output, what is wrong goes to standard error in words. */
async function runTool(tool: (signal: AbortSignal) => Promise<CliOutcome>): Promise<number> {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  try {
    const { exitCode, text } = await tool(stop.signal);
    process.stdout.write(text);
    return exitCode;
  } catch (error) {
    const words = isOperational(error) ? `${error.message}\n${ERRORS[error.code].todo}` : toError(error).stack;
    process.stderr.write(`${words}\n`);
    return 1;
  }
}

async function render({ configPath, ...options }: Of<'render'>): Promise<CliOutcome> {
  const { settings, findings } = parseSettings(configPath);
  return runRender(options, { extensions: settings.extensions, findings, version: packageVersion() });
}

async function snapshot({ outPath, dockerUrl }: Of<'snapshot'>, signal: AbortSignal): Promise<CliOutcome> {
  return runSnapshot(outPath, (scope) => readRawLists(engineUrl(dockerUrl), scope), signal);
}

/** Asks on a terminal; where there is none, `--yes` has to say it. */
async function remove({ stack, extensions, yes, dryRun, dockerUrl }: Of<'uninstall'>): Promise<number> {
  if (!yes && !dryRun && !process.stdin.isTTY) {
    process.stderr.write('interlock uninstall: nobody to ask, standard input is no terminal: add --yes or --dry-run\n');
    return USAGE;
  }
  const owner: Owner = stack === undefined ? { kind: 'extensions', extensions } : { kind: 'stack', stack };
  const engine = createDockerodeEngine({ dockerUrl: engineUrl(dockerUrl) });
  return runTool((signal) =>
    uninstall(engine, { owner, dryRun, confirm: (list) => (yes ? Promise.resolve(true) : ask(list, signal)) }, signal),
  );
}

async function ask(list: string, signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(?:es)?$/i.test((await terminal.question(`${list}Remove it? [y/N] `, { signal })).trim());
  } finally {
    terminal.close();
  }
}

function engineUrl(given: string | undefined): string {
  return given ?? (process.env['DOCKER_HOST'] || 'unix:///var/run/docker.sock');
}

type Daemon = (tools: { signal: AbortSignal; logger: Logger; clock: typeof systemClock }) => Promise<number>;

/** SIGTERM, SIGINT and SIGQUIT ask for a stop; a second one ends the process at once. The agent handles its own signals. */
async function runDaemon(component: string, debug: boolean, daemon: Daemon): Promise<number> {
  const logger = createLogger({ component, level: debug ? 'debug' : 'info' });
  const stop = new AbortController();
  if (component !== 'agent') {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
      process.on(name, () => {
        if (stop.signal.aborted) {
          process.exit(1);
        }
        logger.info({ signal: name }, 'stopping');
        stop.abort();
      });
    }
  }
  // Rejections that nobody handles end here too: a bug is a log line like any other, and the end.
  process.on('uncaughtException', (error) => process.exit(fail(logger, error)));
  try {
    return await daemon({ signal: stop.signal, logger, clock: systemClock });
  } catch (error) {
    return stop.signal.aborted && isStop(error, stop.signal) ? 0 : fail(logger, error);
  }
}

/** What was cut short by the stop throws its reason, or what a cancelled call throws; anything else is an error as ever. */
function isStop(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || toError(error).name === 'AbortError';
}

/** What an operator has to act upon goes out as words and as a field; a bug goes out with its stack. */
function fail(logger: Logger, error: unknown): number {
  if (isOperational(error)) {
    const { code, facts } = error;
    const { todo } = ERRORS[code];
    if (code.startsWith('SETTINGS.')) {
      // Somebody sits in front of this one: the words as they are, one problem a line, and no stack.
      process.stderr.write(`${error.message}\n${todo}\n`);
      logger.fatal({ code, todo }, error.message);
    } else {
      logger.fatal({ err: error, code, facts, todo }, error.message);
    }
  } else {
    logger.fatal({ err: toError(error) }, 'a bug ended the process');
  }
  return 1;
}

function runCore(configPath: string): Daemon {
  return async (tools) => {
    const { settings, findings } = parseSettings(configPath);
    await coreMain(
      {
        settings,
        findings,
        version: packageVersion(),
        operatorSocket: operatorSocket(),
      },
      tools,
    );
    return 0;
  };
}

/** In a container's own /run. Whoever runs core without one, or several on one machine, names another. */
function operatorSocket(): string {
  return process.env['INTERLOCK_OPERATOR_SOCKET'] ?? '/run/interlock/operator.sock';
}

function parseSettings(path: string) {
  const parsed = parseCoreSettings(readSettings(path));
  if (!parsed.ok) {
    throw new OperationalError('SETTINGS.INVALID', `${path} cannot be used:\n${formatProblems(parsed.problems)}`);
  }
  return parsed;
}

function readSettings(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OperationalError('SETTINGS.UNREADABLE', `cannot read ${path}: ${toError(cause).message}`, { cause });
  }
}

/** A declaration, because `main` above runs before a constant down here would be set. */
async function runExtension(tools: Parameters<Daemon>[0]): Promise<number> {
  const parsed = parseExtensionSettings(process.env);
  if (!parsed.ok) {
    throw new OperationalError('SETTINGS.INVALID', formatProblems(parsed.problems));
  }
  await extensionMain({ ...parsed.settings, version: packageVersion() }, tools);
  return 0;
}

function runAgent(nginxArgs: readonly string[]): Daemon {
  return async (tools) => {
    const parsed = parseAgentSettings(process.env);
    if (!parsed.ok) {
      throw new OperationalError('SETTINGS.INVALID', formatProblems(parsed.problems));
    }
    return agentMain({ ...parsed.settings, version: packageVersion(), nginxArgs }, tools);
  };
}

/** package.json stands two folders up, in the checkout and in the image. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { readonly version: string };
  return version;
}
