/** Runs one of the commands for people in this process, as the binary would, and collects its words. */

import type { CliTools } from '../../src/cli/command.ts';
import { parseCommandLine } from '../../src/cli/command-line.ts';

export interface CommandOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `argv` with the command's name. Default tools: no terminal, an empty environment, nothing on standard input. */
export async function runCommand(argv: readonly string[], tools: Partial<CliTools> = {}): Promise<CommandOutcome> {
  const command = parseCommandLine(argv);
  if (command.kind !== 'tool') {
    throw new Error(`not a command for people: ${argv.join(' ')}`);
  }
  const words = { stdout: '', stderr: '' };
  const outputOf = (name: keyof typeof words) => ({
    write: (text: string) => {
      words[name] += text;
    },
    isTerminal: false,
    columns: 80,
  });
  const tool = await command.tool.load();
  const exitCode = await tool.run(command.argv, {
    signal: new AbortController().signal,
    stdout: outputOf('stdout'),
    stderr: outputOf('stderr'),
    env: {},
    version: '0.0.0-test',
    argv,
    readStdin: () => Promise.resolve(new Uint8Array()),
    ...tools,
  });
  return { exitCode, ...words };
}
