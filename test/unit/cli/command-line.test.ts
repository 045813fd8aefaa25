import { describe, expect, it } from 'vitest';
import { parseCommandLine } from '../../../src/cli/command-line.ts';
import { COMMANDS } from '../../../src/cli/commands/index.ts';

function entry(name: string) {
  return COMMANDS.find((command) => command.name === name);
}

describe('parseCommandLine', () => {
  it.each([
    ['core', { kind: 'core', configPath: '/config.toml', debug: false }],
    ['-D run -c /x.toml', { kind: 'core', configPath: '/x.toml', debug: true }],
    ['core --config=/x.toml', { kind: 'core', configPath: '/x.toml', debug: false }],
    ['extension nginx -D', { kind: 'extension', debug: true }],
    ['agent', { kind: 'agent', debug: false, nginxArgs: [] }],
    ['agent -D -- -g x;', { kind: 'agent', debug: true, nginxArgs: ['-g', 'x;'] }],
    ['version', { kind: 'version' }],
    ['-v', { kind: 'version' }],
    ['core --help', { kind: 'help', text: expect.stringMatching(/^interlock: /) as string }],
    ['', { kind: 'help', text: expect.stringMatching(/^interlock: /) as string }],
    ['render -h', { kind: 'tool', tool: entry('render'), argv: ['-h'] }],
    ['help snapshot', { kind: 'tool', tool: entry('snapshot'), argv: ['--help'] }],
    ['snapshot --out o -- x', { kind: 'tool', tool: entry('snapshot'), argv: ['--out', 'o', '--', 'x'] }],
    ['help nonsense', { kind: 'help', text: expect.stringMatching(/^interlock: /) as string }],
  ])('understands "%s"', (line, command) => {
    expect(parseCommandLine(line.split(' ').filter(Boolean))).toEqual(command);
  });

  it.each([
    ['nonsense', /unknown command: nonsense/],
    ['core extra', /unexpected: extra/],
    ['core -c', /-c/],
    ['core --bogus', /--bogus/],
    ['core -- extra', /unexpected: -- extra/],
    ['extension', /name the proxy/],
    ['core --strict', /--strict/],
    ['-D render', /behind its name/],
    ['extension haproxy', /haproxy/],
  ])('refuses "%s" and says why', (line, message) => {
    const command = parseCommandLine(line.split(' '));
    expect(command).toEqual({ kind: 'usage-error', message: expect.stringMatching(message) as string });
  });
});
