import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands/index.ts';
import { runCommand } from '../../support/run-command.ts';

describe('every command', () => {
  it.each(COMMANDS.map(({ name }) => name))(
    '%s says with --help what it is for, how to use it, and that it has JSON for scripts',
    async (name) => {
      const { exitCode, stdout, stderr } = await runCommand([name, '--help']);

      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(stdout).toMatch(new RegExp(`^interlock ${name}: `));
      expect(stdout).toContain('\nUsage\n');
      expect(stdout).toMatch(/^ {2}--json\b/m);
      expect(stdout).toMatch(/\n$/);
    },
  );

  it.each(COMMANDS.map(({ name }) => name))('%s refuses an option that it does not know', async (name) => {
    const { exitCode, stderr } = await runCommand([name, '--no-such-option']);

    expect(exitCode).toBe(64);
    expect(stderr).toBe(`interlock ${name}: Unknown option '--no-such-option' (interlock ${name} --help)\n`);
  });

  it.each(COMMANDS.map(({ name }) => name))('%s takes --json', async (name) => {
    const { stderr } = await runCommand([name, '--json', '--no-such-option']);

    expect(stderr).toContain("Unknown option '--no-such-option'");
  });
});

describe('wrong usage', () => {
  it.each([
    ['uninstall', /--stack NAME or with --extension NAME/],
    ['uninstall --stack s --extension e', /--stack NAME or with --extension NAME/],
    ['uninstall --stack=', /a name is missing/],
    ['uninstall --extension= --stack s', /a name is missing/],
    ['uninstall s', /unexpected: s/],
    ['uninstall --stack s --out o', /--out/],
    ['uninstall --stack s', /nobody to ask/],
    ['render --state s --out o --stack s', /--stack/],
    ['render --out o', /--state DIR/],
    ['render --state s', /--out DIR/],
    ['render --state s --out o extra', /unexpected: extra/],
    ['snapshot', /--out DIR/],
    ['snapshot --out', /--out/],
  ])('"%s" is told apart before anything is done', async (line, message) => {
    const { exitCode, stdout, stderr } = await runCommand(line.split(' '));

    expect({ exitCode, stdout }).toEqual({ exitCode: 64, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(new RegExp(`\\(interlock ${line.split(' ')[0]} --help\\)\n$`));
  });
});
