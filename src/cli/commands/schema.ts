/** `interlock schema`. */
import { configSchema } from '../../settings/json-schema.ts';
import { defineCommand, EXIT, expectNoOperands } from '../command.ts';

const HELP = `interlock schema: the JSON Schema of config.toml (draft 2020-12), for editors and other tools.

Usage
  interlock schema [--json]

Options
  --json   the same; for the sake of scripts that give it to every command

The schema knows each key in the spelling of docs/config.md; core takes it in upper and lower case. What it cannot say, such as two
extensions with one port, "interlock check" says.

Exit codes
  0   printed            64   wrong usage

Example: completion and errors in an editor that knows Taplo (in VS Code: Even Better TOML)
  interlock schema > config.schema.json
  sed -i '1i #:schema ./config.schema.json' config.toml
`;

export const schemaCommand = defineCommand({
  name: 'schema',
  help: HELP,
  options: { json: { type: 'boolean' } },
  run({ operands }, { stdout }) {
    expectNoOperands(operands);
    stdout.write(`${JSON.stringify(configSchema(), null, 2)}\n`);
    return Promise.resolve(EXIT.ok);
  },
});
