// Prints "N passed, N failed[, N skipped]" from vitest's JSON report, and exits as the run did. With the report of a second run of the
// files that failed, their results in that one count; what failed only the first time is named, so that nobody overlooks it.
import { readFileSync } from 'node:fs';

const [report = '', status = '1', again = ''] = process.argv.slice(2);
const first = resultsOf(report);
const second = again === '' ? [] : resultsOf(again);
const results = [...first.filter(({ name }) => second.every((file) => file.name !== name)), ...second];

for (const test of failedOf(first)) {
  if (second.length > 0 && !failedOf(second).includes(test)) {
    console.log(`failed once, passed when its file ran again: ${test}`);
  }
}
// `npm test` is to stay under 20 minutes: what it takes is told where the long list runs after it as well.
const shortList = first.filter(({ name, startTime }) => !name.includes('/test/full/') && startTime > 0);
if (shortList.length > 0 && shortList.length < first.length) {
  const from = Math.min(...shortList.map(({ startTime }) => startTime));
  const to = Math.max(...shortList.map(({ endTime }) => endTime));
  console.log(`the tests of "npm test": ${Math.round((to - from) / 1_000)} s, the long list after them`);
}
const passed = countOf(results, ['passed']);
const failed = failedOf(results).length;
const skipped = countOf(results, ['pending', 'skipped', 'todo']);
const ok = status === '0' && failed === 0 && passed > 0;
console.log(
  `${passed} passed, ${ok ? failed : Math.max(failed, 1)} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
);
process.exitCode = ok ? 0 : 1;

function resultsOf(path) {
  const text = readFileSync(path, 'utf8');
  return text === '' ? [] : JSON.parse(text).testResults;
}

function countOf(files, states) {
  return files.flatMap((file) => file.assertionResults).filter((test) => states.includes(test.status)).length;
}

/** Full names. A file that could not be loaded, or whose hooks failed, counts as one when none of its tests did. */
function failedOf(files) {
  return files
    .filter((file) => file.status === 'failed')
    .flatMap((file) => {
      const tests = file.assertionResults.filter((test) => test.status === 'failed').map((test) => test.fullName);
      return tests.length > 0 ? tests.map((test) => `${file.name}: ${test}`) : [`${file.name}: the file itself`];
    });
}
