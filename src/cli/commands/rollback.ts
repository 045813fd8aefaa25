/** `interlock rollback`. */
import type { RollbackReport } from '../../wire/revisions.ts';
import { type CliTools, defineCommand, EXIT, UsageError } from '../command.ts';
import { CORE_HELP, CORE_OPTIONS, withCore } from '../core-link.ts';
import { changeLines, clusterOption, revisionText } from '../show/revisions.ts';
import { clusterName, jsonText, painterFor } from '../show/text.ts';

const HELP = `interlock rollback: hold a service cluster's routes at an older revision, until "interlock unpin".

Usage
  interlock rollback REV [--cluster NAME] [--dry-run] [--json]

REV is a revision as "interlock revisions" lists it (a number, or the first 4 or more of a digest), or the word "previous".

Options
  --cluster NAME   the service cluster ("" is the default one), where there are several
  --dry-run        say what would change, and change nothing
  --json           for scripts: one object

${CORE_HELP}
Pinned are hosts, paths, services and options, as the labels had them. Endpoints stay live: tasks that come and go are followed as
ever. A service that is gone answers 503 on its pinned routes until it is back under its name. Config.toml holds as it is now.
Changes of labels are kept for later: they show after "interlock unpin". "interlock status" warns for as long as it is pinned.

Exit codes
  0   pinned, or it is what is served already           64   wrong usage
  1   there is no such revision                         69   core cannot be reached

Example: a label took a site down
  core=$(docker ps -qf name=interlock_core)
  docker exec $core interlock rollback previous
  # put the label right, then
  docker exec $core interlock diff served live
  docker exec $core interlock unpin
`;

export const rollbackCommand = defineCommand({
  name: 'rollback',
  help: HELP,
  options: {
    cluster: { type: 'string' },
    'dry-run': { type: 'boolean' },
    json: { type: 'boolean' },
    ...CORE_OPTIONS,
  },
  run({ values, operands }, tools) {
    const [revision, ...more] = operands;
    if (revision === undefined || more.length > 0) {
      throw new UsageError('name one revision, e.g. interlock rollback previous');
    }
    const { cluster, 'dry-run': dryRun = false, json = false } = values;
    return withCore(values, tools, async (core) => {
      const report = await core.rollback({ cluster, revision, dryRun }, tools.signal);
      tools.stdout.write(json ? jsonText(report) : `${linesOf(report, tools).join('\n')}\n`);
      return EXIT.ok;
    });
  },
});

function linesOf(report: RollbackReport, { stdout, env }: CliTools): readonly string[] {
  const paint = painterFor(stdout, env);
  const [which, what] = [`cluster ${clusterName(report.serviceCluster)}`, revisionText(report.revision)];
  const changes = changeLines(report.changes, paint);
  switch (report.outcome) {
    case 'unchanged':
      return [`${which}: ${what} is what is served already; nothing was pinned`];
    case 'would-pin':
      return [`${which}: would be pinned to ${what}`, ...changes];
    case 'pinned':
      return [
        paint('warn', `${which}: pinned to ${what}`),
        ...changes,
        `Changes of labels have no effect here until: interlock unpin${clusterOption(report.serviceCluster)}`,
      ];
  }
}
