import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStage } from '../../../src/agent/delivery/stage.ts';
import { NOTHING_YET, reportsBetween, type Standing } from '../../../src/agent/delivery/standing.ts';
import { isFinal, openComplaints, withoutTimes } from '../../../src/agent/nginx/complaints.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'interlock-stage-'));
  await mkdir(join(home, 'etc'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

describe('the staged file', () => {
  it('is exchanged whole, taken back, and holds two generations at most', async () => {
    const stage = await openStage(join(home, 'own'), join(home, 'etc/nginx.conf'));
    const look = () => readFile(stage.path, 'utf8');
    await stage.put(Buffer.from('one'));
    await stage.keep();
    await stage.put(Buffer.from('two'));
    expect(await look()).toBe('two');
    await stage.takeBack();
    expect(await look()).toBe('one');
    await stage.put(Buffer.from('three'));
    expect(await readdir(join(home, 'own/conf'))).toEqual(['nginx.conf', 'nginx.conf.last']);
    await stage.keep();
    expect(await readdir(join(home, 'own/conf'))).toEqual(['nginx.conf']);
    expect(await look()).toBe('three');
  });

  it('has the neighbours of the mounted file beside it', async () => {
    await writeFile(join(home, 'etc/mime.types'), 'types {}');
    await writeFile(join(home, 'etc/nginx.conf'), 'mounted');
    const stage = await openStage(join(home, 'own'), join(home, 'etc/nginx.conf'));
    expect(await readFile(join(home, 'own/conf/mime.types'), 'utf8')).toBe('types {}');
    await expect(readFile(stage.path)).rejects.toThrow('ENOENT');
  });
});

describe("NGINX's words", () => {
  it('are read without times and pids, and forgotten', async () => {
    const path = join(home, 'words');
    const complaints = await openComplaints(path);
    await writeFile(path, '2026/11/21 03:00:00 [emerg] 17#17: unknown directive "x" in /a:3\n', { flag: 'a' });
    expect(await complaints.read()).toBe('[emerg] unknown directive "x" in /a:3');
    await complaints.clear();
    expect(await complaints.read()).toBe('');
  });

  it.each([
    ['', false],
    ['[emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)', false],
    ['[emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)\n[emerg] still could not bind()', true],
    ['[emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)', true],
    ['[emerg] unknown directive "x" in /a:3', true],
  ])('%j: are they the last ones? %s', (words, final) => {
    expect(isFinal(withoutTimes(words))).toBe(final);
  });
});

describe('reportsBetween', () => {
  const served = { digest: 'a'.repeat(64), durationMs: 3, findings: [] };
  const refused = { digest: 'b'.repeat(64), reason: 'no', durationMs: 4 };
  const kinds = (heard: Standing, now: Standing) => reportsBetween(heard, now).map(({ outcome }) => outcome.kind);

  it('says what is new, and in a new session all there is, what is served first', () => {
    const serving: Standing = { ...NOTHING_YET, serving: served };
    const both: Standing = { ...serving, refused };
    expect(kinds(NOTHING_YET, NOTHING_YET)).toEqual([]);
    expect(kinds(NOTHING_YET, serving)).toEqual(['applied']);
    expect(kinds(serving, both)).toEqual(['refused']);
    expect(kinds(both, both)).toEqual([]);
    expect(kinds(NOTHING_YET, { ...both, draining: true })).toEqual(['applied', 'refused', 'draining']);
    expect(kinds(both, { ...both, serving: { ...served } })).toEqual(['applied']);
  });
});
