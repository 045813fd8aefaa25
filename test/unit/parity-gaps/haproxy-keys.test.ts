/** A `Config` table that was written for the original's HAProxy extension: there is none here, and its keys stop nothing. */
import { expect, it } from 'vitest';
import { parseCoreSettings } from '../../../src/settings/core-settings.ts';
import { NGINX_SCHEMA, parseNginxOptions } from '../../../src/settings/nginx-options.ts';
import { HAPROXY_KEYS, HAPROXY_ONLY } from '../../parity/haproxy.ts';

const TABLE: Readonly<Record<(typeof HAPROXY_KEYS)[number], unknown>> = {
  PidPath: '/var/run/proxy.pid',
  MaxConnections: 1024,
  ConnectTimeout: 5,
  ClientTimeout: 10,
  ServerTimeout: 10,
  AdminUser: 'admin',
  AdminPass: '',
  SSLOpts: '',
  SSLDefaultDHParam: 1024,
  SSLVerify: 'required',
  SSLCiphers: 'HIGH:!aNULL',
  SSLProtocols: 'TLSv1.2',
  GlobalOptions: [],
  DefaultOptions: ['retries 3'],
};

it('keys that the NGINX extension has too are read as its own; the rest are findings, each by its name', () => {
  const outcome = parseNginxOptions(TABLE, 'Extensions.default.Config');
  expect(outcome).toMatchObject({ ok: true });
  const unknown = outcome.findings.filter(({ code }) => code === 'SETTINGS.KEY_UNKNOWN');
  expect(unknown.map(({ subject }) => subject)).toEqual(HAPROXY_ONLY.map((key) => `Extensions.default.Config.${key}`));
  expect(HAPROXY_KEYS.filter((key) => !(key in NGINX_SCHEMA.shape))).toEqual([...HAPROXY_ONLY]);
});

it('an extension with the image of the HAProxy preview starts: it stays the image that the file names', () => {
  const image = 'interlockpreview/interlock-extension-haproxy:2.0.0-preview';
  const outcome = parseCoreSettings(
    `[Extensions.haproxy]\nImage = "${image}"\n[Extensions.haproxy.Config]\nServerTimeout = 10`,
  );
  expect(outcome).toMatchObject({ ok: true });
  expect(outcome.ok && outcome.settings.extensions[0]?.image).toBe(image);
});

const HAPROXY = 'interlockpreview/interlock-extension-haproxy:2.0.0-preview';

it.each([
  ['an Image', `Image = "${HAPROXY}"`, HAPROXY],
  [
    'a ProxyImage',
    'ProxyImage = "registry.local:5000/ucp-interlock-haproxy@sha256:0"',
    'registry.local:5000/ucp-interlock-haproxy@sha256:0',
  ],
  ['ClientTimeout', '[Extensions.web.Config]\nClientTimeout = 10', 'ClientTimeout'],
  ['servertimeout', '[Extensions.web.Config]\nservertimeout = 10', 'servertimeout'],
  ['DefaultOptions', '[Extensions.web.Config]\nDefaultOptions = []', 'DefaultOptions'],
])('there is no such extension yet, says one finding: %s', (_, toml, value) => {
  const outcome = parseCoreSettings(`[Extensions.web]\n${toml}`);
  expect(outcome).toMatchObject({ ok: true });
  const said = outcome.ok ? outcome.findings.filter(({ code }) => code === 'SETTINGS.NO_SUCH_EXTENSION') : [];
  expect(said).toMatchObject([{ subject: 'Extensions.web', value }]);
  expect(said[0]?.advice).toContain('no HAProxy extension yet');
});

it.each([
  ['Image', 'interlockpreview/interlock-extension-nginx:2.0.0-preview'],
  ['ProxyImage', 'haproxy-free/nginx:1'],
])('is not said of %s = %s, nor of keys that NGINX has too', (key, image) => {
  const outcome = parseCoreSettings(
    `[Extensions.web]\n${key} = "${image}"\n[Extensions.web.Config]\nConnectTimeout = 5`,
  );
  expect(outcome).toMatchObject({ ok: true });
  expect(outcome.ok && outcome.findings.map(({ code }) => code)).not.toContain('SETTINGS.NO_SUCH_EXTENSION');
});
