import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLogger } from '../../../src/runtime/logging.ts';
import { createTokenSource, readToken } from '../../../src/wire/token-file.ts';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'interlock-token-'));
  file = path.join(folder, 'interlock-token');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const TOKEN = 'aZ0_-'.repeat(8);

describe('the token file', () => {
  it.each([
    ['a token', TOKEN, TOKEN],
    ['a token and a line end', `${TOKEN}\n`, TOKEN],
    ['nothing', '', undefined],
    ['too little', 'abc', undefined],
    ['256 characters', 'a'.repeat(256), 'a'.repeat(256)],
    ['257 characters', 'a'.repeat(257), undefined],
    ['a megabyte', 'a'.repeat(1024 * 1024), undefined],
    ['two lines', `${TOKEN}\n${TOKEN}`, undefined],
    ['what no header carries', `${TOKEN}\u0000é`, undefined],
  ])('with %s', async (_what, content, expected) => {
    await writeFile(file, content);
    expect(await readToken(file)).toBe(expected);
  });

  it('that is missing, a folder, or below a file, holds none', async () => {
    await writeFile(file, TOKEN);
    await mkdir(path.join(folder, 'dir'));
    expect(await readToken(path.join(folder, 'nothing'))).toBeUndefined();
    expect(await readToken(path.join(folder, 'dir'))).toBeUndefined();
    expect(await readToken(path.join(file, 'x'))).toBeUndefined();
  });

  it('is told of once while it is missing, and looked for at each call', async () => {
    const lines: string[] = [];
    const logger = createLogger({ level: 'info', component: 'test' }, { write: (line) => void lines.push(line) });
    const source = createTokenSource(file, logger);

    expect([await source(), await source()]).toEqual([undefined, undefined]);
    expect(lines).toHaveLength(1);
    await writeFile(file, TOKEN);
    expect([await source(), await source()]).toEqual([TOKEN, TOKEN]);
    expect(lines).toHaveLength(2);
    expect(lines.join('')).not.toContain(TOKEN);
  });
});
