import { describe, expect, it } from 'vitest';
import { findDaemonDirective } from '../../../src/agent/nginx/mounted-file.ts';
import { nginxArguments } from '../../../src/agent/nginx/process.ts';
import { isTooOld, parseNginxVersion } from '../../../src/agent/nginx/version.ts';

describe('parseNginxVersion', () => {
  it.each([
    ['nginx version: nginx/1.30.6\n', [1, 30, 6]],
    ['nginx version: nginx/1.22.1 (Debian)\n', [1, 22, 1]],
    ['nginx version: openresty/1.27.1.2\n', [1, 27, 1]],
    ['Angie version: Angie/1.10.1\nbuilt on nginx/1.27.5', [1, 27, 5]],
    ['nginx: invalid option', undefined],
    ['', undefined],
  ])('reads %j', (words, version) => {
    expect(parseNginxVersion(words)).toEqual(version);
  });

  it.each<[readonly [number, number, number], boolean]>([
    [[1, 22, 1], true],
    [[1, 27, 5], true],
    [[1, 28, 0], false],
    [[1, 30, 6], false],
    [[2, 0, 0], false],
    [[0, 99, 0], true],
  ])('%j is too old: %s', (version, old) => {
    expect(isTooOld(version)).toBe(old);
  });
});

describe('findDaemonDirective', () => {
  it.each([
    ['daemon off;', 'off'],
    ['user nginx; daemon off; events {}', 'off'],
    ['events {}\n\tdaemon   on ;\n', 'on'],
    ['daemon\n  off;', 'off'],
    ['daemon "off";', 'off'],
    ['# daemon off;\nevents {}', 'absent'],
    ['pid /run/nginx.pid; # daemon on;', 'absent'],
    ['http { server_name daemon; }', 'absent'],
    ['http { map $a $b { mydaemon off; } }', 'absent'],
    ['', 'absent'],
  ])('reads %j as %s', (text, found) => {
    expect(findDaemonDirective(text)).toBe(found);
  });

  it('takes a file of a megabyte in its stride', () => {
    const text = 'server { listen 80; server_name x.example; location / { proxy_pass http://x; } }\n'.repeat(12_000);

    expect(findDaemonDirective(text)).toBe('absent');
    expect(findDaemonDirective(text.replaceAll('\n', ' '))).toBe('absent');
  });
});

describe('nginxArguments', () => {
  it('puts every main-context directive into one -g, because NGINX heeds only the last', () => {
    const globals = ['daemon off;'];
    const extraArgs = ['-g', 'worker_rlimit_nofile 4096;', '-e', 'stderr', '-gthread_pool p;'];

    expect(nginxArguments({ configPath: '/x', globals, extraArgs })).toEqual([
      '-c',
      '/x',
      '-g',
      'daemon off; worker_rlimit_nofile 4096; thread_pool p;',
      '-e',
      'stderr',
    ]);
  });

  it('does not repeat a "daemon off" of the extra arguments', () => {
    const command = { configPath: '/x', globals: ['daemon off;'], extraArgs: ['-g', 'daemon off;'] };

    expect(nginxArguments(command)).toEqual(['-c', '/x', '-g', 'daemon off;']);
  });

  it('leaves -g out when there is nothing to say', () => {
    expect(nginxArguments({ configPath: '/x', globals: [], extraArgs: [] })).toEqual(['-c', '/x']);
  });
});
