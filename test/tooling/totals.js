// Prints "N passed, N failed[, N skipped]" from vitest's JSON report, and exits as the run did.
import { readFileSync } from 'node:fs';

const [report = '', status = '1'] = process.argv.slice(2);
const text = readFileSync(report, 'utf8');
const totals = text === '' ? {} : JSON.parse(text);
const passed = totals.numPassedTests ?? 0;
// A file that could not be loaded counts no test of its own, and still failed.
const broken = (totals.testResults ?? []).filter(
  (file) => file.status === 'failed' && file.assertionResults.length === 0,
);
const failed = (totals.numFailedTests ?? 0) + broken.length;
const skipped = (totals.numPendingTests ?? 0) + (totals.numTodoTests ?? 0);
const ok = status === '0' && failed === 0 && passed > 0;
console.log(
  `${passed} passed, ${ok ? failed : Math.max(failed, 1)} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
);
process.exitCode = ok ? 0 : 1;
