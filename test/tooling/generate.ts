/**
 * `npm run generate` writes the files that are made from the source; `--check` compares instead and names those that are stale.
 * To add one: write a module with a `Page` under `test/tooling/pages/` and name it in PAGES.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codesPage } from './pages/codes-page.ts';
import { configPage } from './pages/config-page.ts';
import { labelsPage } from './pages/labels-page.ts';
import { metricsPage } from './pages/metrics-page.ts';
import type { Page } from './pages/page.ts';
import { parityPage } from './pages/parity-page.ts';
import { schemaPage } from './pages/schema-page.ts';
import { securityPage } from './pages/security-page.ts';
import { socketProxyPage } from './pages/socket-proxy-page.ts';

const PAGES: readonly Page[] = [
  configPage,
  labelsPage,
  codesPage,
  metricsPage,
  parityPage,
  securityPage,
  socketProxyPage,
  schemaPage,
];
const ROOT = new URL('../../', import.meta.url);

process.exitCode = process.argv.includes('--check') ? await check() : await write();

async function write(): Promise<number> {
  for (const page of PAGES) {
    const file = fileOf(page);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, page.render());
  }
  process.stdout.write(`wrote ${PAGES.map(({ path }) => path).join(', ')}\n`);
  return 0;
}

async function check(): Promise<number> {
  const stale: string[] = [];
  for (const page of PAGES) {
    if ((await readOr(fileOf(page), '')) !== page.render()) {
      stale.push(page.path);
    }
  }
  process.stderr.write(stale.map((path) => `${path} is stale: run npm run generate and commit it\n`).join(''));
  return stale.length === 0 ? 0 : 1;
}

function fileOf(page: Page): string {
  return fileURLToPath(new URL(page.path, ROOT));
}

/** A file that is not there yet is stale too. */
async function readOr(file: string, fallback: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return fallback;
    }
    throw error;
  }
}
