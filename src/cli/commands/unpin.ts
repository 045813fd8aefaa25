/** `interlock unpin`. */
import { defineCommand, EXIT, expectNoOperands } from '../command.ts';
import { CORE_HELP, CORE_OPTIONS, withCore } from '../core-link.ts';
import { changeLines, pinText } from '../show/revisions.ts';
import { clusterName, jsonText, painterFor } from '../show/text.ts';

const HELP = `interlock unpin: let the labels of a service cluster's services hold again, after "interlock rollback".

Usage
  interlock unpin [--cluster NAME] [--json]

Options
  --cluster NAME   the service cluster ("" is the default one), where there are several
  --json           for scripts: one object

${CORE_HELP}
"interlock diff served live" says beforehand what it will change.

Exit codes
  0   not pinned (any more)       64   wrong usage
  1   no such cluster             69   core cannot be reached

Example
  docker exec $(docker ps -qf name=interlock_core) interlock unpin
`;

export const unpinCommand = defineCommand({
  name: 'unpin',
  help: HELP,
  options: { cluster: { type: 'string' }, json: { type: 'boolean' }, ...CORE_OPTIONS },
  run({ values, operands }, tools) {
    expectNoOperands(operands);
    return withCore(values, tools, async (core) => {
      const report = await core.unpin({ cluster: values.cluster }, tools.signal);
      const which = `cluster ${clusterName(report.serviceCluster)}`;
      const words =
        report.was === undefined
          ? `${which}: was not pinned; its labels hold`
          : `${which}: let go of revision ${pinText(report.was)}; its labels hold again`;
      const lines = [words, ...changeLines(report.changes, painterFor(tools.stdout, tools.env))];
      tools.stdout.write(values.json ? jsonText(report) : `${lines.join('\n')}\n`);
      return EXIT.ok;
    });
  },
});
