/** `interlock diff`. */
import type { ClusterModel } from '../../model/cluster.ts';
import type { CompareReport } from '../../wire/revisions.ts';
import { type CliTools, defineCommand, EXIT, UsageError } from '../command.ts';
import { CORE_HELP, CORE_OPTIONS, withCore } from '../core-link.ts';
import { renderOne } from '../render.ts';
import { changeLines, revisionText } from '../show/revisions.ts';
import { jsonText, painterFor, plain } from '../show/text.ts';
import { unifiedDiff } from '../unified-diff.ts';

const HELP = `interlock diff: what differs between two revisions of a service cluster's routes.

Usage
  interlock diff A B [--cluster NAME] [--files] [--json]

A and B are revisions as "interlock revisions" lists them (a number, or the first 4 or more of a digest), or a word:
  live       what the labels ask for now
  served     what the proxies are given: live, or the revision that the cluster is pinned to
  previous   the newest revision before what is served that is something else

Options
  --cluster NAME   the service cluster ("" is the default one), where there are several
  --files          the files that our NGINX extension would write, as "diff -u" prints them; both with the endpoints of now
  --json           for scripts: one object

${CORE_HELP}
Prints one line for each route: + added, - removed, ~ changed, with the labels that make the difference (without com.docker.lb.).

Exit codes, as those of diff
  0   no difference                                     64   wrong usage
  1   they differ, or there is no such revision         69   core cannot be reached

Example: what did the last change of labels do?
  docker exec $(docker ps -qf name=interlock_core) interlock diff previous live
`;

export const diffCommand = defineCommand({
  name: 'diff',
  help: HELP,
  options: { cluster: { type: 'string' }, files: { type: 'boolean' }, json: { type: 'boolean' }, ...CORE_OPTIONS },
  run({ values, operands }, tools) {
    const [before, after, ...more] = operands;
    if (before === undefined || after === undefined || more.length > 0) {
      throw new UsageError('name two revisions, e.g. interlock diff previous live');
    }
    const { cluster, files = false, json = false } = values;
    return withCore(values, tools, async (core) => {
      const report = await core.compare({ cluster, before, after, models: files }, tools.signal);
      const text = files ? filesDiff(report, tools.version) : undefined;
      const { extension, serviceCluster, changes } = report;
      const facts = { extension, serviceCluster, before: report.before, after: report.after, changes, files: text };
      tools.stdout.write(json ? jsonText(facts) : (text ?? routesDiff(report, tools)));
      return isSame(report, text) ? EXIT.ok : EXIT.no;
    });
  },
});

function isSame({ changes }: CompareReport, files: string | undefined): boolean {
  return files === undefined ? changes.length === 0 : files === '';
}

function routesDiff({ before, after, changes }: CompareReport, { stdout, env }: CliTools): string {
  const paint = painterFor(stdout, env);
  const head = `${revisionText(before)} -> ${revisionText(after)}`;
  const lines = changes.length === 0 ? ['no route differs'] : changeLines(changes, paint);
  return `${[paint('dim', head), ...lines].join('\n')}\n`;
}

function filesDiff({ models, before, after }: CompareReport, version: string): string {
  if (models === undefined) {
    return '';
  }
  const [old, now] = [filesOf(models.before, version), filesOf(models.after, version)];
  return [...new Set([...old.keys(), ...now.keys()])]
    .map((path) =>
      unifiedDiff(old.get(path) ?? '', now.get(path) ?? '', {
        before: `${path}  ${revisionText(before)}`,
        after: `${path}  ${revisionText(after)}`,
      }),
    )
    .map((text) => text.split('\n').map(plain).join('\n'))
    .join('');
}

function filesOf(model: ClusterModel, version: string): ReadonlyMap<string, string> {
  return new Map(renderOne(model, version).files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString('utf8')]));
}
