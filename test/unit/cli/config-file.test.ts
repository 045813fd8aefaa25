import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readCoreSettings } from '../../../src/cli/config-file.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'interlock-config-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('a file that stops the start is told of with its unknown keys: they may be why', async () => {
  const path = join(folder, 'config.toml');
  await writeFile(path, 'PolInterval = "3s"\nPollInterval = 3\n[Extensions.a]\nTemplate = "x"\n');

  expect(() => readCoreSettings(path)).toThrow(
    /^.*config\.toml cannot be used:\nPollInterval: found 3 [^\n]*\nPolInterval: There is no such key here\. Did you mean PollInterval\?$/,
  );
});
