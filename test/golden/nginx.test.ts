/**
 * `nginx/<case>/input.json` (a model, a `Config` table) -> `expected/nginx.conf`, byte for byte, and NGINX itself accepts it.
 * `npm run golden:update` rewrites the expected files.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { ArtifactFile } from '../../src/model/artifact.ts';
import type { ClusterModel } from '../../src/model/cluster.ts';
import { renderNginx } from '../../src/render/nginx/render.ts';
import { parseNginxOptions } from '../../src/settings/nginx-options.ts';
import { checkNginx } from '../support/nginx.ts';
import { SERVER_INFO } from '../support/render-models.ts';

interface GoldenInput {
  /** What the case shows. */
  readonly about: string;
  readonly model: ClusterModel;
  /** The operator's `Config` table. */
  readonly config: Readonly<Record<string, unknown>>;
}

const CASES = fileURLToPath(new URL('nginx', import.meta.url));
const UPDATE = process.env['UPDATE_GOLDEN'] === '1';
const names = (await readdir(CASES)).sort();

describe.each(names)('nginx/%s', (name) => {
  it('renders to the expected file, which NGINX accepts', async () => {
    const files = await render(name);
    if (UPDATE) {
      await rewrite(name, files);
    }

    const expected = await readExpected(name);
    const check = await checkNginx(files);

    expect(Object.fromEntries(files.map(textOf))).toEqual(expected);
    expect(check).toEqual({ ok: true, output: expect.stringContaining('test is successful') as string });
    expect(check.output).not.toMatch(/\[(?:warn|error|alert|emerg)\]/);
  });

  it('has no strays', async () => {
    expect((await readdir(join(CASES, name))).sort()).toEqual(['expected', 'input.json']);
    expect(await readdir(join(CASES, name, 'expected'))).toEqual(['nginx.conf']);
  });
});

async function render(name: string): Promise<readonly ArtifactFile[]> {
  const input = JSON.parse(await readFile(join(CASES, name, 'input.json'), 'utf8')) as GoldenInput;
  const parsed = parseNginxOptions(input.config, 'Config');
  if (!parsed.ok) {
    throw new Error(`${name}: ${JSON.stringify(parsed.problems)}`);
  }
  return renderNginx(input.model, parsed.options, { serverInfo: SERVER_INFO }).artifact.files;
}

function textOf({ path, bytes }: ArtifactFile): [string, string] {
  return [path.replace('/etc/nginx/', ''), Buffer.from(bytes).toString()];
}

async function readExpected(name: string): Promise<Record<string, string>> {
  const dir = join(CASES, name, 'expected');
  const files = await readdir(dir);
  return Object.fromEntries(
    await Promise.all(files.map(async (file) => [file, await readFile(join(dir, file), 'utf8')])),
  ) as Record<string, string>;
}

async function rewrite(name: string, files: readonly ArtifactFile[]): Promise<void> {
  await rm(join(CASES, name, 'expected'), { recursive: true, force: true });
  for (const [file, text] of files.map(textOf)) {
    const path = join(CASES, name, 'expected', file);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
}
