import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Check, createCheck } from '../../../src/extension/check.ts';
import { createCheckCertificate } from '../../../src/extension/check-certificate.ts';
import type { ArtifactFile } from '../../../src/model/artifact.ts';
import { eventually } from '../../support/eventually.ts';

const MAIN = '/etc/nginx/nginx.conf';

let home: string;
let abort: AbortController;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'interlock-test-'));
  abort = new AbortController();
});
afterEach(() => rm(home, { recursive: true, force: true }));

/** A stand-in for NGINX: a shell script that finds the file in `$conf`. */
async function fakeNginx(body: string, limitMs?: number): Promise<Check> {
  const binary = join(home, 'nginx');
  await writeFile(binary, `#!/bin/sh\nwhile [ "$1" != -c ]; do shift; done\nconf=$2\n${body}\n`);
  await chmod(binary, 0o755);
  return createCheck({ binary, tempParents: [home], ...(limitMs === undefined ? {} : { limitMs }) });
}

function files(text: string): readonly ArtifactFile[] {
  return [{ path: MAIN, mode: 0o444, bytes: Buffer.from(text) }];
}

/** What is left of the check's folders. */
async function leftovers(): Promise<string[]> {
  return (await readdir(home)).filter((name) => name.startsWith('interlock-check-'));
}

describe('a check', () => {
  it('passes when NGINX takes the file', async () => {
    const check = await fakeNginx('grep -q "^events" "$conf"');
    expect(await check(files('events {}\n'), MAIN, abort.signal)).toEqual({ kind: 'passed' });
    expect(await leftovers()).toEqual([]);
  });

  it('gives NGINX a stdout and a stderr that it can open by name', async () => {
    const check = await fakeNginx(': >> /dev/stdout && : >> /dev/stderr');
    expect(await check(files(''), MAIN, abort.signal)).toEqual({ kind: 'passed' });
  });

  it("fails with NGINX's words, about the real path", async () => {
    const words = '2026/11/21 00:57:55 [emerg] 4987#4987: unknown directive \\"evnts\\" in $conf:1';
    const check = await fakeNginx(`echo "${words}" >&2; exit 1`);
    expect(await check(files('evnts {}\n'), MAIN, abort.signal)).toEqual({
      kind: 'failed',
      words: '[emerg] unknown directive "evnts" in /etc/nginx/nginx.conf:1',
    });
    expect(await leftovers()).toEqual([]);
  });

  it('shows NGINX a file without secrets and without the folders of the proxy', async () => {
    const seen = join(home, 'seen');
    const check = await fakeNginx(
      `cp "$conf" ${seen}; cp "$(dirname "$conf")/check.pem" ${seen}.pem; [ -d "$(dirname "$conf")/cache" ]`,
    );
    const text = [
      'client_body_temp_path /var/cache/nginx/body;',
      'server { ssl_certificate /run/secrets/a.crt; ssl_certificate_key "/run/secrets/a.key"; }',
      '  proxy_ssl_trusted_certificate /run/secrets/ca;',
      'ssl_dhparam /run/secrets/dh;',
      'ssl_certificate_cache off;',
    ].join('\n');
    expect(await check(files(text), MAIN, abort.signal)).toEqual({ kind: 'passed' });
    const shown = await readFile(seen, 'utf8');
    expect(shown.replaceAll(/\/\S*\/interlock-check-[^/]+/g, '<folder>')).toBe(
      [
        'client_body_temp_path <folder>/cache/body;',
        'server { ssl_certificate <folder>/check.pem; ssl_certificate_key <folder>/check.pem; }',
        '  proxy_ssl_trusted_certificate <folder>/check.pem;',
        '',
        'ssl_certificate_cache off;',
      ].join('\n'),
    );
  });

  it('is unfinished after its time limit, and NGINX is gone', async () => {
    const check = await fakeNginx(`echo $$ > ${home}/pid; exec sleep 60`, 200);
    const outcome = await check(files(''), MAIN, abort.signal);
    expect(outcome).toMatchObject({ kind: 'unfinished', words: /SIGKILL/ });
    expect(isAlive(await pidOf())).toBe(false);
  });

  it('is given up when the signal aborts, and NGINX is gone', async () => {
    const check = await fakeNginx(`echo $$ > ${home}/pid; exec sleep 60`);
    const running = check(files(''), MAIN, abort.signal);
    const pid = await eventually(pidOf, { everyMs: 10 });
    abort.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    expect(isAlive(pid)).toBe(false);
    expect(await leftovers()).toEqual([]);
  });

  it('keeps a bounded part of what NGINX says', async () => {
    const check = await fakeNginx('head -c 3000000 /dev/zero | tr "\\0" x >&2; exit 1');
    const outcome = await check(files(''), MAIN, abort.signal);
    expect(outcome.kind === 'failed' && outcome.words.length).toBe(64 * 1024);
  });

  it('is unavailable where there is no NGINX', async () => {
    const check = createCheck({ binary: join(home, 'no-such-nginx'), tempParents: [home] });
    expect(await check(files(''), MAIN, abort.signal)).toMatchObject({ kind: 'unavailable' });
  });

  it('takes the first folder that can be written to, and is unavailable without one', async () => {
    const check = createCheck({ binary: 'true', tempParents: [join(home, 'missing'), home] });
    expect(await check(files(''), MAIN, abort.signal)).toEqual({ kind: 'passed' });
    const nowhere = createCheck({ binary: 'true', tempParents: [join(home, 'missing')] });
    expect(await nowhere(files(''), MAIN, abort.signal)).toMatchObject({ kind: 'unavailable' });
  });

  async function pidOf(): Promise<number> {
    const pid = Number(await readFile(join(home, 'pid'), 'utf8'));
    if (pid === 0) {
      throw new Error('not written yet');
    }
    return pid;
  }
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe('the stand-in certificate', () => {
  it('is self-signed, and its key fits', () => {
    const pem = createCheckCertificate();
    const certificate = new X509Certificate(pem);
    expect(certificate.subject).toBe('CN=interlock check');
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.checkPrivateKey(createPrivateKey(pem))).toBe(true);
  });
});
