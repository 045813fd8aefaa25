import { describe, expect, it } from 'vitest';
import { parseCommandLine } from '../../../src/cli/command-line.ts';

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
    ['render -h', { kind: 'help', text: expect.stringMatching(/^interlock render: /) as string }],
    ['help snapshot', { kind: 'help', text: expect.stringMatching(/^interlock snapshot: /) as string }],
    [
      'render --state s --out o',
      { kind: 'render', configPath: '/config.toml', statePath: 's', outPath: 'o', cluster: undefined, strict: false },
    ],
    [
      'render --config c --state s --cluster= --out o --strict',
      { kind: 'render', configPath: 'c', statePath: 's', outPath: 'o', cluster: '', strict: true },
    ],
    ['snapshot --out o', { kind: 'snapshot', outPath: 'o', dockerUrl: undefined }],
    ['snapshot --out o -H tcp://m:2375', { kind: 'snapshot', outPath: 'o', dockerUrl: 'tcp://m:2375' }],
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
    ['render --out o', /--state DIR/],
    ['render --state s', /--out DIR/],
    ['render --state s --out o extra', /unexpected: extra/],
    ['render --state s --out o -H x', /unexpected: --host/],
    ['snapshot', /--out DIR/],
    ['snapshot --out o --strict', /unexpected: --strict/],
    ['core --strict', /--strict belongs/],
    ['extension haproxy', /haproxy/],
  ])('refuses "%s" and says why', (line, message) => {
    const command = parseCommandLine(line.split(' '));
    expect(command).toEqual({ kind: 'usage-error', message: expect.stringMatching(message) as string });
  });
});
