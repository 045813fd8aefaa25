#!/usr/bin/env node
/**
 * Text in -> settings -> main(signal) -> exit code. The only file that sees argv, the environment and process signals. Each daemon and
 * command loads only what it needs.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { buffer } from 'node:stream/consumers';
import type { Output } from '../cli/command.ts';
import { type Command, parseCommandLine } from '../cli/command-line.ts';
import { readCoreSettings } from '../cli/config-file.ts';
import { systemClock } from '../runtime/clock.ts';
import { ERRORS, isOperational, OperationalError, toError } from '../runtime/errors.ts';
import { keepHeapSmall } from '../runtime/heap.ts';
import { createLogger, type Logger } from '../runtime/logging.ts';
import { formatProblems } from '../settings/core-settings.ts';
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
    case 'tool':
      return runTool(command);
    case 'core':
      return runDaemon('core', command.debug, runCore(command.configPath));
    case 'extension':
      return runDaemon('extension', command.debug, runExtension);
    case 'agent':
      return runDaemon('agent', command.debug, runAgent(command.nginxArgs));
  }
}

async function runTool({ tool, argv }: Extract<Command, { kind: 'tool' }>): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort());
  }
  // What reads from us may have seen enough, as `head` has.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  const { signal } = stop;
  const command = await tool.load();
  return command.run(argv, {
    signal,
    stdout: outputOf(process.stdout),
    stderr: outputOf(process.stderr),
    env: process.env,
    version: packageVersion(),
    argv: [tool.name, ...argv],
    readStdin() {
      // Who is asked to stop has nothing to put right yet, and whoever writes to us may never end.
      signal.addEventListener('abort', () => process.exit(1));
      return buffer(process.stdin);
    },
    ...(process.stdin.isTTY ? { ask: (question: string) => ask(question, signal) } : {}),
  });
}

function outputOf(stream: NodeJS.WriteStream): Output {
  return {
    write: (text) => void stream.write(text),
    isTerminal: stream.isTTY,
    get columns() {
      return stream.isTTY ? stream.columns : 80;
    },
  };
}

async function ask(question: string, signal: AbortSignal): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return await terminal.question(question, { signal });
  } finally {
    terminal.close();
  }
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
    const { settings, findings } = readCoreSettings(configPath);
    const { coreMain } = await import('../core/main.ts');
    keepHeapSmall();
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

/** A declaration, because `main` above runs before a constant down here would be set. */
async function runExtension(tools: Parameters<Daemon>[0]): Promise<number> {
  const parsed = parseExtensionSettings(process.env);
  if (!parsed.ok) {
    throw new OperationalError('SETTINGS.INVALID', formatProblems(parsed.problems));
  }
  const { extensionMain } = await import('../extension/main.ts');
  await extensionMain({ ...parsed.settings, version: packageVersion() }, tools);
  return 0;
}

function runAgent(nginxArgs: readonly string[]): Daemon {
  return async (tools) => {
    const parsed = parseAgentSettings(process.env);
    if (!parsed.ok) {
      throw new OperationalError('SETTINGS.INVALID', formatProblems(parsed.problems));
    }
    const { agentMain } = await import('../agent/main.ts');
    return agentMain({ ...parsed.settings, version: packageVersion(), nginxArgs }, tools);
  };
}

/** package.json stands two folders up, in the checkout and in the image. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { readonly version: string };
  return version;
}
