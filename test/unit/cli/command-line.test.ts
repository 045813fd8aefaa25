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
    ['uninstall -h', { kind: 'help', text: expect.stringMatching(/^interlock uninstall: /) as string }],
    [
      'uninstall --stack s',
      { kind: 'uninstall', stack: 's', extensions: [], yes: false, dryRun: false, dockerUrl: undefined },
    ],
    [
      'uninstall --extension a --extension b --yes --dry-run -H tcp://m',
      {
        kind: 'uninstall',
        stack: undefined,
        extensions: ['a', 'b'],
        yes: true,
        dryRun: true,
        dockerUrl: 'tcp://m',
      },
    ],
    ['snapshot --out o -H tcp://m:2375', { kind: 'snapshot', outPath: 'o', dockerUrl: 'tcp://m:2375' }],
  ])('understands "%s"', (line, command) => {
    expect(parseCommandLine(line.split(' ').filter(Boolean))).toEqual(command);
  });

  it.each([
    ['uninstall', /--stack NAME or with --extension NAME/],
    ['uninstall --stack s --extension e', /--stack NAME or with --extension NAME/],
    ['uninstall --stack=', /a name is missing/],
    ['uninstall --extension= --stack s', /a name is missing/],
    ['uninstall s', /unexpected: s/],
    ['uninstall --stack s --out o', /unexpected: --out/],
    ['core --yes', /--yes belongs to/],
    ['render --state s --out o --stack s', /unexpected: --stack/],
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
