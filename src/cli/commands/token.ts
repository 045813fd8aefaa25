/** `interlock token`. */
import { type Clock, systemClock } from '../../runtime/clock.ts';
import type { OperatorCalls } from '../../wire/operator.ts';
import type { RotateReport, RotateRequest, TokenState } from '../../wire/revisions.ts';
import { type CliTools, defineCommand, EXIT, UsageError } from '../command.ts';
import { CORE_HELP, CORE_OPTIONS, withCore } from '../core-link.ts';
import { jsonText, plain } from '../show/text.ts';

const HELP = `interlock token: replace the tokens by which extensions and proxies show core who they are.

Usage
  interlock token rotate [--extension NAME] [--role extension|proxy] [--wait] [--timeout SECONDS] [--json]

Options
  --extension NAME    only those of [Extensions.NAME] (default: of all)
  --role ROLE         only that of the extension, or that of its proxies (default: both)
  --wait              until the old ones are removed; says how it goes
  --timeout SECONDS   how long to wait (default: 600)
  --json              for scripts: one object, at the end

${CORE_HELP}
Core makes a new Docker secret and gives it to the service by one roll. Old and new are both accepted until no task uses the old one,
so nobody is locked out meanwhile; then the old secret is removed, and whoever has its text has nothing. Proxies take over from each
other as at every roll. A rotation that is under way is joined: it is not begun again.

Exit codes
  0   begun; with --wait: done                                64   wrong usage
  1   no such extension; with --wait: not done in time        69   core cannot be reached

Example
  docker exec $(docker ps -qf name=interlock_core) interlock token rotate --role proxy --wait
`;

const ROLES = ['extension', 'proxy'] as const;
const DEFAULT_TIMEOUT = '600';

export const tokenCommand = defineCommand({
  name: 'token',
  help: HELP,
  options: {
    extension: { type: 'string' },
    role: { type: 'string' },
    wait: { type: 'boolean' },
    timeout: { type: 'string' },
    json: { type: 'boolean' },
    ...CORE_OPTIONS,
  },
  run({ values, operands }, tools) {
    if (operands.length !== 1 || operands[0] !== 'rotate') {
      throw new UsageError('say what to do: interlock token rotate');
    }
    const { extension = '', wait = false, json = false, timeout } = values;
    if (timeout !== undefined && !wait) {
      throw new UsageError('--timeout goes with --wait');
    }
    const request = { extension, role: roleOf(values.role) };
    const timeoutMs = secondsOf(timeout ?? DEFAULT_TIMEOUT) * 1_000;
    return withCore(values, tools, (core) =>
      rotate(core, { request, timeoutMs: wait ? timeoutMs : undefined, json }, tools),
    );
  },
});

function roleOf(text: string | undefined): RotateRequest['role'] {
  const role = ROLES.find((one) => one === text);
  if (text !== undefined && role === undefined) {
    throw new UsageError(`--role takes ${ROLES.join(' or ')}`);
  }
  return role ?? '';
}

function secondsOf(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) {
    throw new UsageError('--timeout takes whole seconds');
  }
  return Number(text);
}

interface Order {
  readonly request: Omit<RotateRequest, 'look'>;
  /** `undefined`: do not wait. */
  readonly timeoutMs: number | undefined;
  readonly json: boolean;
}

async function rotate(core: OperatorCalls, { request, timeoutMs, json }: Order, tools: CliTools): Promise<number> {
  const begun = await core.rotateTokens({ ...request, look: false }, tools.signal);
  const tell = (text: string) => (json ? undefined : tools.stdout.write(text));
  tell(
    begun.tokens
      .map((token) => `${nameOf(token)}: ${token.joined ? 'a rotation is under way, joined' : 'rotating'}\n`)
      .join(''),
  );
  const last = timeoutMs === undefined ? begun : await untilDone(core, { request, begun, timeoutMs }, tell, tools);
  if (json) {
    tools.stdout.write(
      jsonText({ tokens: last.tokens.map((token, at) => ({ ...token, joined: begun.tokens[at]?.joined })) }),
    );
  }
  if (timeoutMs === undefined || isDone(last)) {
    return EXIT.ok;
  }
  tools.stderr.write(
    `not done after ${timeoutMs / 1_000} s; the old tokens are accepted until it is. See "interlock status".\n`,
  );
  return EXIT.no;
}

const LOOK_MS = 1_000;

interface Wait {
  readonly request: Order['request'];
  readonly begun: RotateReport;
  readonly timeoutMs: number;
}

/** Tells each change of a token's state once. */
async function untilDone(
  core: OperatorCalls,
  { request, begun, timeoutMs }: Wait,
  tell: (text: string) => void,
  { signal }: CliTools,
  clock: Clock = systemClock,
): Promise<RotateReport> {
  const endAtMs = clock.monotonic() + timeoutMs;
  let report = begun;
  while (!isDone(report) && clock.monotonic() < endAtMs) {
    await clock.sleep(LOOK_MS, signal);
    const next = await core.rotateTokens({ ...request, look: true }, signal);
    for (const [at, token] of next.tokens.entries()) {
      if (token.state !== report.tokens[at]?.state) {
        tell(`${nameOf(token)}: ${WORDS[token.state]}\n`);
      }
    }
    report = next;
  }
  return report;
}

const WORDS = {
  making: 'the new token is being made',
  rolling: 'the new token is there, tasks are being replaced; both are accepted',
  done: 'done, the old token is gone',
} as const satisfies Record<TokenState['state'], string>;

function isDone({ tokens }: RotateReport): boolean {
  return tokens.every(({ state }) => state === 'done');
}

function nameOf({ extension, role }: TokenState): string {
  return `${plain(extension)} ${role}`;
}
