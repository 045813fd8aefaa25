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
