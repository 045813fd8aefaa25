/**
 * `render/<case>/{config.toml,state/}` -> `expected/`, byte for byte, through the code of `interlock render`: what Engine JSON and a
 * config.toml come to. The states are `interlock snapshot`s of real Swarms. `npm run golden:update` rewrites the expected files.
 */
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runRender } from '../../src/cli/render.ts';
import { parseCoreSettings } from '../../src/settings/core-settings.ts';
import { checkNginx } from '../support/nginx.ts';

const CASES = fileURLToPath(new URL('render', import.meta.url));
const UPDATE = process.env['UPDATE_GOLDEN'] === '1';
const names = (await readdir(CASES)).sort();

describe.each(names)('render/%s', (name) => {
  it('comes to the expected files, which NGINX accepts', async () => {
    const out = await mkdtemp(join(tmpdir(), 'interlock-golden-'));
    try {
      await render(name, out);
      const expected = join(CASES, name, 'expected');
      if (UPDATE) {
        await rm(expected, { recursive: true, force: true });
        await cp(out, expected, { recursive: true });
      }

      const files = await filesIn(out);
      expect(files).toEqual(await filesIn(expected));
      const rendered = Object.entries(files).filter(([path]) => path.endsWith('nginx.conf'));
      expect(rendered.length).toBeGreaterThan(0);
      for (const [, text] of rendered) {
        const file = { path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) };
        expect(await checkNginx([file])).toMatchObject({ ok: true });
      }
    } finally {
      await rm(out, { recursive: true, force: true });
    }
  });
});

async function render(name: string, out: string): Promise<void> {
  const parsed = parseCoreSettings(await readFile(join(CASES, name, 'config.toml'), 'utf8'));
  if (!parsed.ok) {
    throw new Error(`${name}: ${JSON.stringify(parsed.problems)}`);
  }
  const { settings, findings } = parsed;
  await runRender(
    { statePath: join(CASES, name, 'state'), outPath: out, cluster: undefined, strict: false },
    { extensions: settings.extensions, findings, version: 'test' },
  );
}

/** Path -> text, for all files below. */
async function filesIn(folder: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const files = await Promise.all(
    paths.sort().map(async (path) => [path.slice(folder.length + 1), await readFile(path, 'utf8')] as const),
  );
  return Object.fromEntries(files);
}
