/** `interlock check`. */
import { readFile } from 'node:fs/promises';
import { toError } from '../../runtime/errors.ts';
import { check, type FileKind, type InputFile } from '../check/check.ts';
import { asGithub, asJson, asText, type Report } from '../check/print.ts';
import { countOf } from '../check/remark.ts';
import { type CliTools, defineCommand, EXIT, UsageError } from '../command.ts';
import { painterFor } from '../show/text.ts';

const HELP = `interlock check: what is wrong with config.toml and stack files, before they are deployed. Needs no engine and no core.

Usage
  interlock check FILE... [--config config.toml] [--stack NAME] [--strict] [--json | --format github]
  interlock check - --kind stack < docker-stack.yml

Options
  FILE                config.toml (*.toml) or a stack file (*.yml, *.yaml); "-" reads standard input
  --kind KIND         "config" or "stack", for "-" and for files with other endings
  -c, --config FILE   the config.toml that the stack files are for: their service clusters and networks are checked against it.
                      One among the FILEs counts as well.
  --stack NAME        the name the stack will have; without it, the one that labels like com.docker.lb.network speak of
  --strict            exit code 1 for warnings too
  --json              everything as JSON
  --format github     annotations for a workflow on GitHub

Variables in stack files are filled in from the environment, as "docker stack deploy" does it.

Exit codes
  0   nothing wrong (with --strict: no warning either)      1   something is, or a file cannot be read      64   wrong usage

Example
  interlock check --strict config.toml docker-stack.yml
`;

const FORMATS = { text: undefined, json: asJson, github: asGithub } as const;

export const checkCommand = defineCommand({
  name: 'check',
  help: HELP,
  options: {
    kind: { type: 'string' },
    config: { type: 'string', short: 'c' },
    stack: { type: 'string' },
    strict: { type: 'boolean' },
    json: { type: 'boolean' },
    format: { type: 'string' },
  },
  async run({ values, operands }, tools) {
    const { strict = false, stack, config } = values;
    const format = formatOf(values);
    const kind = kindOf(values.kind);
    if (operands.length === 0) {
      throw new UsageError('name a file, or "-" for standard input');
    }
    const named = operands.map((file) => ({ file, kind: kind ?? kindByName(file) }));
    const files = await Promise.all(named.map((one) => readInput(one.file, one.kind, tools)));
    const report = check({
      files: files.flatMap(({ input }) => input ?? []),
      config: config === undefined ? undefined : await readConfig(config, tools),
      ...{ stack, env: tools.env },
    });
    const unread = files.flatMap(({ failure }) => failure ?? []);
    tools.stderr.write(unread.map((words) => `${words}\n`).join(''));
    tools.stdout.write(
      (FORMATS[format] ?? ((all: Report) => asText(all, painterFor(tools.stdout, tools.env))))(report),
    );
    const wrong = countOf(report.remarks, 'error') + (strict ? countOf(report.remarks, 'warn') : 0) + unread.length;
    return wrong === 0 ? EXIT.ok : EXIT.no;
  },
});

function formatOf({ json, format }: { readonly json?: boolean | undefined; readonly format?: string | undefined }) {
  const name = format ?? (json === true ? 'json' : 'text');
  if (!Object.hasOwn(FORMATS, name) || (json === true && name !== 'json')) {
    throw new UsageError('--format is text, json or github');
  }
  return name as keyof typeof FORMATS;
}

function kindOf(text: string | undefined): FileKind | undefined {
  if (text !== undefined && text !== 'config' && text !== 'stack') {
    throw new UsageError('--kind is config or stack');
  }
  return text;
}

function kindByName(file: string): FileKind {
  if (/\.toml$/i.test(file)) {
    return 'config';
  }
  if (/\.(?:ya?ml|json)$/i.test(file)) {
    return 'stack';
  }
  throw new UsageError(`say what ${file === '-' ? 'standard input' : file} is with --kind config or --kind stack`);
}

interface ReadFile {
  readonly input?: InputFile;
  readonly failure?: string;
}

async function readInput(file: string, kind: FileKind, tools: CliTools): Promise<ReadFile> {
  try {
    const bytes = file === '-' ? await tools.readStdin() : await readFile(file);
    return { input: { file: file === '-' ? 'standard input' : file, kind, bytes } };
  } catch (error) {
    return { failure: `cannot read ${file}: ${toError(error).message}` };
  }
}

async function readConfig(file: string, tools: CliTools): Promise<InputFile> {
  const { input, failure } = await readInput(file, 'config', tools);
  if (input === undefined) {
    throw new UsageError(failure ?? file);
  }
  return input;
}
