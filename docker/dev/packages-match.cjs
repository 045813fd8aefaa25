// Exits with 0 if node_modules holds what package-lock.json says, else with 1. Plain JavaScript: it runs before anything is installed.
const { readFileSync } = require('node:fs');

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  } catch {
    return undefined;
  }
}

const wanted = packagesOf('package-lock.json');
// npm's own list of what it installed.
const installed = packagesOf('node_modules/.package-lock.json');
const match =
  wanted !== undefined &&
  installed !== undefined &&
  Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === '' || installed[path]?.version === version || (optional === true && installed[path] === undefined),
  ) &&
  Object.keys(installed).every((path) => wanted[path] !== undefined);
process.exit(match ? 0 : 1);
