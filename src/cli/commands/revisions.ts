/** `interlock revisions`. */
import { defineCommand, EXIT, expectNoOperands } from '../command.ts';
import { CORE_HELP, CORE_OPTIONS, withCore } from '../core-link.ts';
import { historyLines } from '../show/revisions.ts';
import { jsonText, painterFor } from '../show/text.ts';

const HELP = `interlock revisions: which routes each service cluster had, and since when.

Usage
  interlock revisions [--cluster NAME] [--json]

Options
  --cluster NAME   only this service cluster ("" is the default one), or the name of its [Extensions.NAME] table
  --json           for scripts: one object; times are ms since the epoch

${CORE_HELP}
A revision is what the com.docker.lb.* labels of the cluster's services said when they had come to rest for 5 s. Tasks that come
and go make none. Core keeps the newest 20, as Docker Configs.
  REV       its number, which "interlock diff" and "interlock rollback" take; so do the first 4 or more of its digest
  IS        served: what the proxies are given; pinned: the same, held by "interlock rollback"; live: what the labels ask for
  CHANGED   services, against the revision before: + new, ~ other labels, - gone

Exit codes
  0   told                  64   wrong usage
  1   no such cluster       69   core cannot be reached

Example
  docker exec $(docker ps -qf name=interlock_core) interlock revisions
`;

export const revisionsCommand = defineCommand({
  name: 'revisions',
  help: HELP,
  options: { cluster: { type: 'string' }, json: { type: 'boolean' }, ...CORE_OPTIONS },
  run({ values, operands }, tools) {
    expectNoOperands(operands);
    return withCore(values, tools, async (core) => {
      const report = await core.revisions({ cluster: values.cluster }, tools.signal);
      const paint = painterFor(tools.stdout, tools.env);
      const lines = report.clusters.flatMap((history) => historyLines(history, paint));
      tools.stdout.write(values.json ? jsonText(report) : `${lines.join('\n')}\n`);
      return EXIT.ok;
    });
  },
});
