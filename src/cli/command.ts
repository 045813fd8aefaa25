/** What a command for people is: a file in `commands/`, entered in the table of `commands/index.ts`. The daemons are in `command-line.ts`. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { ERRORS, isOperational, toError } from '../runtime/errors.ts';

/** Where a command's words go. */
export interface Output {
  write(text: string): void;
  /** Colours, widths and redrawing only here. */
  readonly isTerminal: boolean;
  /** Characters on a line; 80 where nobody says. */
  readonly columns: number;
}

/** What the process lends to a command. */
export interface CliTools {
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  /** The command's name and everything behind it, as it was typed. */
  readonly argv: readonly string[];
  /** All of standard input. */
  readonly readStdin: () => Promise<Uint8Array>;
  /** Puts a question that ends with a blank and hears the line that comes back; missing where nobody is there to be asked. */
  readonly ask?: (question: string) => Promise<string>;
}

/** Exit codes, after sysexits.h. */
export const EXIT = {
  ok: 0,
  /** Done, and the answer is no; or it could not be done. */
  no: 1,
  usage: 64,
  /** Core cannot be reached. */
  unavailable: 69,
} as const;

/** Wrong usage; the caller prints it with the command's name and where its help is. */
export class UsageError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;

type Parsed<Own extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: Own & typeof COMMON; allowPositionals: true; strict: true }>
>;

export interface Definition<Own extends Options> {
  readonly name: string;
  /** All of `interlock NAME --help`: what for, usage, options, exit codes, an example. Ends with a line break. */
  readonly help: string;
  /** Beside `--help`. */
  readonly options: Own;
  /**
   * What it does.
   * @returns the exit code.
   * @throws UsageError before anything was done; OperationalError: printed as words, exit code 1.
   */
  run(input: Pick<Parsed<Own>, 'values'> & { readonly operands: readonly string[] }, tools: CliTools): Promise<number>;
}

export interface ToolCommand {
  readonly name: string;
  /** `argv` without the command's own name. Never rejects but for bugs. @returns the exit code. */
  run(argv: readonly string[], tools: CliTools): Promise<number>;
}

const COMMON = { help: { type: 'boolean', short: 'h' } } as const;

export function defineCommand<Own extends Options>(definition: Definition<Own>): ToolCommand {
  const { name, help } = definition;

  async function start(argv: readonly string[], tools: CliTools): Promise<number> {
    const { values, positionals } = parsed(argv);
    if ((values as { readonly help?: boolean }).help ?? false) {
      tools.stdout.write(help);
      return EXIT.ok;
    }
    return definition.run({ values, operands: positionals }, tools);
  }

  function parsed(argv: readonly string[]): Parsed<Own> {
    const options = { ...definition.options, ...COMMON };
    try {
      const config = { args: [...argv], options, allowPositionals: true, strict: true } as const;
      return parseArgs<typeof config>(config);
    } catch (error) {
      throw new UsageError(firstSentence(toError(error).message));
    }
  }

  return {
    name,
    async run(argv, tools) {
      try {
        return await start(argv, tools);
      } catch (error) {
        if (error instanceof UsageError) {
          tools.stderr.write(`interlock ${name}: ${error.message} (interlock ${name} --help)\n`);
          return EXIT.usage;
        }
        tools.stderr.write(wordsOf(error));
        return EXIT.no;
      }
    },
  };
}

/** For commands that take no operands. @throws UsageError. */
export function expectNoOperands(operands: readonly string[]): void {
  if (operands.length > 0) {
    throw new UsageError(`unexpected: ${operands.join(' ')}`);
  }
}

function wordsOf(error: unknown): string {
  return isOperational(error) ? `${error.message}\n${ERRORS[error.code].todo}\n` : `${toError(error).stack}\n`;
}

/** Node appends how to pass such a value as an operand, which no command of ours would take. */
function firstSentence(message: string): string {
  return message.split(/\. |\n/, 1)[0] ?? message;
}
