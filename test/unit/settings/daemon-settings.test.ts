import { describe, expect, it } from 'vitest';
import { parseAgentSettings, parseExtensionSettings } from '../../../src/settings/daemon-settings.ts';

describe('parseExtensionSettings', () => {
  it('reads what core sets', () => {
    const env = { INTERLOCK_ENDPOINT: 'tasks.interlock_core:8080', INTERLOCK_EXTENSION: 'default', PATH: '/bin' };
    expect(parseExtensionSettings(env)).toEqual({
      ok: true,
      settings: {
        endpoint: 'tasks.interlock_core:8080',
        extension: 'default',
        nginxBinary: 'nginx',
        tokenFile: '/run/secrets/interlock-token',
        metricsPort: undefined,
      },
    });
  });

  it.each([parseExtensionSettings, parseAgentSettings])(
    '$name takes another token file, by an absolute path',
    (parse) => {
      const env = { INTERLOCK_ENDPOINT: 'core:1', INTERLOCK_EXTENSION: 'default' };
      expect(parse({ ...env, INTERLOCK_TOKEN_FILE: '/tokens/mine' })).toMatchObject({
        settings: { tokenFile: '/tokens/mine' },
      });
      expect(parse({ ...env, INTERLOCK_TOKEN_FILE: 'mine' })).toMatchObject({
        ok: false,
        problems: [{ path: 'INTERLOCK_TOKEN_FILE' }],
      });
    },
  );

  it('names every variable that is missing or wrong', () => {
    expect(parseExtensionSettings({ INTERLOCK_ENDPOINT: 'http://core', INTERLOCK_EXTENSION: '' })).toMatchObject({
      ok: false,
      problems: [
        { path: 'INTERLOCK_ENDPOINT', found: '"http://core" (string)' },
        { path: 'INTERLOCK_EXTENSION', found: 'nothing' },
      ],
    });
  });
});

describe('parseAgentSettings', () => {
  it('reads where to answer probes, and how long to leave', () => {
    const env = {
      INTERLOCK_METRICS_PORT: '9090',
      INTERLOCK_READY_PORT: '65535',
      INTERLOCK_LEAVE_DELAY_MS: '5000',
    };
    expect(parseAgentSettings(env)).toMatchObject({
      settings: { metricsPort: 9090, readyPort: 65_535, leaveDelayMs: 5_000 },
    });
    expect(parseAgentSettings({})).toMatchObject({
      settings: { metricsPort: undefined, readyPort: undefined, leaveDelayMs: 0 },
    });
  });

  it.each(['0', '65536', '80a', '-1', ' 80'])('refuses the port "%s"', (port) => {
    expect(parseAgentSettings({ INTERLOCK_READY_PORT: port })).toMatchObject({
      ok: false,
      problems: [{ path: 'INTERLOCK_READY_PORT' }],
    });
  });

  it('needs nothing: a proxy in classic mode runs from its file alone', () => {
    expect(parseAgentSettings({})).toMatchObject({
      ok: true,
      settings: { endpoint: undefined, configPath: '/etc/nginx/nginx.conf', nginxBinary: 'nginx' },
    });
  });

  it('refuses a path that is not absolute', () => {
    expect(parseAgentSettings({ INTERLOCK_CONFIG_PATH: 'nginx.conf' })).toMatchObject({
      ok: false,
      problems: [{ path: 'INTERLOCK_CONFIG_PATH' }],
    });
  });
});
