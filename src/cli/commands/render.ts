/** `interlock render`. */
import { defineCommand, expectNoOperands, UsageError } from '../command.ts';
import { readCoreSettings } from '../config-file.ts';
import { runRender } from '../render.ts';
import { jsonText } from '../show/text.ts';

const HELP = `interlock render: what would this config.toml and these labels do? Needs no engine and changes nothing.

Usage
  interlock render --config config.toml --state DIR --out DIR [--cluster NAME] [--strict] [--json]

Options
  -c, --config FILE   config.toml (default: /config.toml)
  --state DIR         folder with services.json, tasks.json, networks.json, nodes.json and secrets.json: each the array
                      that the Engine API's list call returns. "interlock snapshot" saves one; edit it as you like.
  --out DIR           where to write; new, empty, or left by an earlier render, which is replaced
  --cluster NAME      only the extension with this ServiceCluster ("" is the default cluster)
  --strict            exit code 1 when there is a finding at level error; for CI
  --json              for scripts: one object with "written", the paths below DIR, and "findings"

Writes
  DIR/<extension>/nginx.conf   the file that the proxies of [Extensions.<extension>] would serve
  DIR/findings.json            everything wrong with settings and labels: code, severity, service, subject, value, advice

Exit codes
  0   written            1   not written, or an error with --strict            64   wrong usage

Example: try a label before you deploy it
  core=$(docker ps -qf name=interlock_core)                        # on the manager that runs core; /dev/shm is writable there
  docker exec $core interlock snapshot --out /dev/shm/state
  docker exec $core tar -cC /dev/shm state | tar -x
  interlock render -c config.toml --state state --out before
  # edit state/services.json, e.g. Spec.Labels of one service
  interlock render -c config.toml --state state --out after; diff -r before after
`;

export const renderCommand = defineCommand({
  name: 'render',
  help: HELP,
  options: {
    config: { type: 'string', short: 'c' },
    state: { type: 'string' },
    out: { type: 'string' },
    cluster: { type: 'string' },
    strict: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  async run({ values, operands }, { stdout, version }) {
    expectNoOperands(operands);
    const { config = '/config.toml', state: statePath, out: outPath, cluster, strict = false, json = false } = values;
    if (outPath === undefined || outPath === '') {
      throw new UsageError('say where to write with --out DIR');
    }
    if (statePath === undefined || statePath === '') {
      throw new UsageError('say which Swarm with --state DIR, a folder that interlock snapshot wrote');
    }
    const { settings, findings } = readCoreSettings(config);
    const input = { extensions: settings.extensions, findings, version };
    const { exitCode, text, facts } = await runRender({ statePath, outPath, cluster, strict }, input);
    stdout.write(json ? jsonText(facts) : text);
    return exitCode;
  },
});
