// Prints the files of vitest's JSON report that failed and may be run a second time, one a line; nothing when more is wrong than a
// second run could tell. Not those of properties and goldens: a counterexample that was found once is one.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

/** More failed files than this are no accident of one moment: a busy one meets what runs on real engines then, three at a time for minutes. */
const AT_MOST = 8;
const MAY_RUN_AGAIN = /^test\/(?:unit|contract|integration|e2e|full)\//;

const [report = ''] = process.argv.slice(2);
const text = readFileSync(report, 'utf8');
const results = text === '' ? [] : JSON.parse(text).testResults;
const failed = results.filter(({ status }) => status === 'failed').map(({ name }) => relative(process.cwd(), name));
if (failed.length <= AT_MOST && failed.every((path) => MAY_RUN_AGAIN.test(path))) {
  process.stdout.write(failed.map((path) => `${path}\n`).join(''));
}
