/**
 * `npm run check:licences`: every package that the lockfile installs has a licence that this project may ship or build with. Reads
 * package-lock.json, and the package's own file where the lockfile says nothing.
 */
import { readFileSync } from 'node:fs';

/** SPDX names: permissive, or without conditions on those who use the package unchanged. */
const ALLOWED = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MIT-0',
  'Python-2.0',
  'Unlicense',
]);
/** Tools that are never shipped may have these too. */
const ALLOWED_FOR_TOOLS = new Set([...ALLOWED, 'CC-BY-4.0', 'MPL-2.0']);

const ROOT = new URL('../../', import.meta.url);
const { packages } = JSON.parse(readFileSync(new URL('package-lock.json', ROOT), 'utf8'));

const bad = Object.entries(packages).flatMap(([path, { license, dev, link }]) => {
  if (path === '' || link === true) {
    return [];
  }
  const found = license ?? licenceIn(path);
  return isAllowed(found, dev === true ? ALLOWED_FOR_TOOLS : ALLOWED) ? [] : [`${path}: ${found ?? 'no licence'}`];
});
process.stderr.write(bad.map((line) => `${line} is not on the list of test/tooling/check-licences.js\n`).join(''));
process.stdout.write(
  `${Object.keys(packages).length - 1} packages, ${bad.length} with a licence that is not allowed\n`,
);
process.exitCode = bad.length === 0 ? 0 : 1;

function licenceIn(path) {
  try {
    const { license, licenses } = JSON.parse(readFileSync(new URL(`${path}/package.json`, ROOT), 'utf8'));
    return typeof license === 'string' ? license : (license?.type ?? licenses?.[0]?.type);
  } catch {
    return undefined; // not installed on this platform, and the lockfile does not say
  }
}

/** `(MIT OR GPL-3.0)`: one of them is enough. `MIT AND ISC`: all of them. */
function isAllowed(expression, allowed) {
  if (typeof expression !== 'string') {
    return false;
  }
  const plain = expression.replaceAll(/[()]/g, '');
  return plain.split(' OR ').some((choice) => choice.split(' AND ').every((name) => allowed.has(name.trim())));
}
