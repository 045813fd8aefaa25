/** `interlock status`. */
import { ENDS_WITH_STDIN } from '../../core/engine/core-container.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { isOperational } from '../../runtime/errors.ts';
import type { OperatorCalls } from '../../wire/operator.ts';
import type { StatusReport } from '../../wire/status-report.ts';
import { type CliTools, defineCommand, EXIT, expectNoOperands } from '../command.ts';
import { CORE_HELP, CORE_OPTIONS, withCore } from '../core-link.ts';
import { isWell, statusJson, statusLines } from '../show/status.ts';
import { jsonText, painterFor } from '../show/text.ts';

const HELP = `interlock status: how things stand: core, each service cluster, every proxy, and all findings.

Usage
  interlock status [--watch] [--json]

Options
  --watch   again whenever something changes, until Ctrl-C
  --json    for scripts: one object; with --watch one a line, whenever something changes

${CORE_HELP}
Says of each proxy what it serves: the newest file, or one that is behind and for how long, or that NGINX refused the newest,
with NGINX's words. "pending" is what the proxies get with the next roll; "converging" is what Swarm is moving right now.

Exit codes
  0   every proxy serves the newest revision      64   wrong usage
  1   not all of them, or there is none           69   core cannot be reached

Example
  docker exec -it $(docker ps -qf name=interlock_core) interlock status --watch
`;

export const statusCommand = defineCommand({
  name: 'status',
  help: HELP,
  options: { watch: { type: 'boolean' }, json: { type: 'boolean' }, ...CORE_OPTIONS },
  run({ values, operands }, tools) {
    expectNoOperands(operands);
    const { watch = false, json = false } = values;
    return withCore(values, tools, (core) => (watch ? keepTelling(core, json, tools) : tellOnce(core, json, tools)));
  },
});

async function tellOnce(core: OperatorCalls, json: boolean, tools: CliTools): Promise<number> {
  const report = await core.status({}, tools.signal);
  tools.stdout.write(json ? jsonText(statusJson(report)) : textOf(report, tools));
  return isWell(report) ? EXIT.ok : EXIT.no;
}

function textOf(report: StatusReport, { stdout, env }: CliTools): string {
  return `${statusLines(report, painterFor(stdout, env)).join('\n')}\n`;
}

const LOOK_MS = 1_000;
const HOME_AND_CLEAR = '\x1b[H\x1b[2J';

/** On a terminal the page is drawn again each second; elsewhere it is printed when it says something new. */
async function keepTelling(
  core: OperatorCalls,
  json: boolean,
  tools: CliTools,
  clock: Pick<Clock, 'sleep'> = systemClock,
): Promise<number> {
  const { stdout } = tools;
  const signal = untilStdinEnds(tools);
  const isPage = stdout.isTerminal && !json;
  let last = '';
  while (!signal.aborted) {
    const look = await lookOnce(core, json, tools, signal);
    if (look !== undefined && (isPage || look.key !== last)) {
      last = look.key;
      stdout.write(isPage ? `${HOME_AND_CLEAR}${look.text}` : look.text);
    }
    await clock.sleep(LOOK_MS, signal).catch(() => undefined); // aborted: the loop's condition sees it
  }
  return EXIT.ok;
}

/** In core's container, on behalf of a command outside: that one ends by closing our standard input. */
function untilStdinEnds({ env, readStdin, signal }: CliTools): AbortSignal {
  if (env[ENDS_WITH_STDIN] === undefined) {
    return signal;
  }
  const ended = new AbortController();
  void readStdin().then(() => ended.abort());
  return AbortSignal.any([signal, ended.signal]);
}

interface Look {
  readonly text: string;
  /** Without what changes by the clock alone. */
  readonly key: string;
}

/** `undefined`: it is over. Core may be away for a moment: that is told, and asked again. */
async function lookOnce(
  core: OperatorCalls,
  json: boolean,
  tools: CliTools,
  signal: AbortSignal,
): Promise<Look | undefined> {
  try {
    const report = await core.status({}, signal);
    const key = JSON.stringify({ ...report, nowMs: 0, observedAtMs: 0 });
    return { text: json ? `${jsonLine(statusJson(report))}\n` : textOf(report, tools), key };
  } catch (error) {
    if (signal.aborted) {
      return undefined;
    }
    if (!isOperational(error, 'WIRE.UNREACHABLE')) {
      throw error;
    }
    const text = json ? jsonLine({ error: error.message }) : error.message;
    return { text: `${text}\n`, key: error.message };
  }
}

/** On one line: indentation is all that line breaks are for. */
function jsonLine(value: unknown): string {
  return jsonText(value).trimEnd().replace(/\n\s*/g, '');
}
