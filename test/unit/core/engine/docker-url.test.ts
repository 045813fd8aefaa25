import { inspect } from 'node:util';
import Docker from 'dockerode';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { dialOptions } from '../../../../src/core/engine/docker-url.ts';

describe('dialOptions', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it.each([
    ['unix:///run/docker.sock', { socketPath: '/run/docker.sock', host: undefined }],
    ['tcp://10.0.0.1:2375', { protocol: 'http', host: '10.0.0.1', port: '2375' }],
    ['tcp://manager', { protocol: 'http', host: 'manager', port: '2375' }],
    ['tcp://[fd00::1]:2400', { protocol: 'http', host: '[fd00::1]', port: '2400' }],
  ])('reads %s', (url, expected) => {
    expect(dialOptions(url, undefined)).toMatchObject(expected);
  });

  it.each(['unix:///run/docker.sock', 'tcp://manager', 'https://manager'])(
    '%s: the modem, which prints its agent before each request, has little to print',
    (url) => {
      const { agent } = dialOptions(url, undefined);
      expect(inspect({ agent }, { showHidden: true, depth: null })).toBe('{ agent: agent }');
    },
  );

  it('speaks TLS on port 2376 when it has certificates', () => {
    const options = dialOptions('tcp://manager', { ca: 'CA', cert: 'CERT', key: 'KEY' });

    expect(options).toMatchObject({ protocol: 'https', port: '2376', ca: 'CA', cert: 'CERT', key: 'KEY' });
  });

  it.each(['', 'manager:2375', 'unix://relative', 'ftp://x', 'tcp://a b', 'npipe:////./pipe/docker'])(
    'refuses "%s"',
    (url) => {
      expect(() => dialOptions(url, undefined)).toThrow(expect.objectContaining({ code: 'SETTINGS.INVALID' }));
    },
  );

  it('is not moved by DOCKER_HOST', () => {
    vi.stubEnv('DOCKER_HOST', 'tcp://elsewhere:1');

    const { modem } = new Docker(dialOptions('unix:///run/docker.sock', undefined));

    expect(modem).toMatchObject({ socketPath: '/run/docker.sock', host: undefined });
  });
});
