/** The schema that editors get: a valid one, never tighter than core, and not much looser. */
import { readFileSync } from 'node:fs';
import TOML from '@iarna/toml';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CORE_SCHEMA, EXTENSION_SCHEMA, GRPC_SCHEMA } from '../../../src/settings/core-schema.ts';
import { parseCoreSettings } from '../../../src/settings/core-settings.ts';
import { configSchema } from '../../../src/settings/json-schema.ts';
import { keyMetas } from '../../../src/settings/key-table.ts';
import { NGINX_SCHEMA } from '../../../src/settings/nginx-options.ts';

const ROOT = new URL('../../../', import.meta.url);
const ajv = new Ajv2020({ strict: true, allErrors: true });
const validate = ajv.compile(configSchema());

function complaintsOf(toml: string): readonly string[] {
  validate(TOML.parse(toml));
  return [
    ...new Set(
      (validate.errors ?? []).map(({ instancePath, params }) =>
        `${instancePath} ${(params as { additionalProperty?: string }).additionalProperty ?? ''}`.trim(),
      ),
    ),
  ];
}

it('is itself valid, by the meta schema of its draft', () => {
  expect(ajv.validateSchema(configSchema()), JSON.stringify(ajv.errors)).toBe(true);
});

it('knows every key of the docs, with its default where that is a value', () => {
  const text = JSON.stringify(configSchema());
  for (const schema of [CORE_SCHEMA, GRPC_SCHEMA, EXTENSION_SCHEMA, NGINX_SCHEMA]) {
    expect(keyMetas(schema).filter(([name]) => !text.includes(`"${name}":{"description":`))).toEqual([]);
  }
  expect(configSchema()).toMatchObject({
    properties: {
      PollInterval: { default: '3s' },
      Extensions: { additionalProperties: { properties: { ProxyReplicas: { default: 1 } } } },
    },
  });
});

describe('good files', () => {
  it.each([
    'docker/config.toml',
    'docker/dev/config.toml',
    'test/e2e/clusters/config.toml',
    'test/golden/render/how-tos/config.toml',
  ])('%s', (path) => {
    expect(complaintsOf(readFileSync(new URL(path, ROOT), 'utf8'))).toEqual([]);
  });

  it.each([
    'ListenAddr = 8080\n[Extensions.a]\nProxyReplicas = "2"\nPublishMode = "HOST"\nPublishedPort = 0\nHitlessServiceUpdate = "false"',
    '[Extensions."a b"]\nImage = ""\nServiceName = ""\nProxyStopSignal = "quit"\nConstraints = "node.role==worker"',
    '[Extensions.a.Config]\nHTTPVersion = 1.1\nWorkerProcesses = "4"\nSSLProtocols = ["TLSv1.3"]\nClientMaxBodySize = 0\nKeepaliveTimeout = "1m 30s"\nUpstreamZoneSize = "64k"',
    '[Extensions.a.ProxyLabels]\n"com.example.any" = "x"\n[GRPC]\nTLSCert = "/a"\nTLSKey = "/b"\nTLSCACert = "/c"\nClientTLSCert = "c"\nClientTLSKey = "k"\nClientTLSCACert = "ca"',
  ])('that core takes too: %j', (toml) => {
    expect(parseCoreSettings(toml)).toMatchObject({ ok: true });
    expect(complaintsOf(toml)).toEqual([]);
  });
});

it.each([
  ['ListenAddr = true\n[Extensions.a]', ['/ListenAddr']],
  ['PollInterval = 3\n[Extensions.a]', ['/PollInterval']],
  ['PolInterval = "3s"\n[Extensions.a]', ['PolInterval']],
  ['[Extensions]', ['/Extensions']],
  ['', ['']],
  ['[Extensions.a]\nProxyReplicas = "two"', ['/Extensions/a/ProxyReplicas']],
  ['[Extensions.a]\nProxyReplicas = -1', ['/Extensions/a/ProxyReplicas']],
  ['[Extensions.a]\nPublishMode = "bridge"', ['/Extensions/a/PublishMode']],
  ['[Extensions.a]\nPublishedPort = 70000', ['/Extensions/a/PublishedPort']],
  ['[Extensions.a]\nConstraints = ["node.role>manager"]', ['/Extensions/a/Constraints/0', '/Extensions/a/Constraints']],
  ['[Extensions.a]\nServiceName = "a.b"', ['/Extensions/a/ServiceName']],
  ['[Extensions.a.Labels]\nx = 1', ['/Extensions/a/Labels/x', '/Extensions/a/Labels']],
  ['[Extensions.a.Config]\nSSLProtocols = "TLSv1.4"', ['/Extensions/a/Config/SSLProtocols']],
  ['[Extensions.a.Config]\nBad = 1', ['/Extensions/a/Config Bad']],
])('complains of %j', (toml, places) => {
  expect(complaintsOf(toml)).toEqual(places);
});

const values = fc.oneof(
  fc.constantFrom(
    '3s',
    '1.5h',
    '0',
    '8k',
    '8K',
    '4 8k',
    'auto',
    'true',
    'off',
    '/run/x',
    '/var/run/x',
    'TLSv1.2',
    'TLSv1.2, TLSv1.3',
    '10.0.0.0/8',
    '::1',
    'a==b',
    'node.a!=b c',
    'spread=node.labels.z',
    'Host',
    'SIGTERM',
    '9',
    'tcp://10.0.0.5:2376',
    '[::1]:80',
    ':80',
    'a:80',
    "'$a' '$b';",
  ),
  fc.integer({ min: -5, max: 70_000 }),
  fc.constantFrom(1, 1.1, 0, 65_535),
  fc.boolean(),
  fc.string().map((text) => text.trim()),
  fc.array(fc.constantFrom('a==b', 'TLSv1.2', '10.0.0.1', '-D', 'gzip on;'), { maxLength: 2 }),
  fc.dictionary(fc.constantFrom('a', 'b'), fc.string(), { maxKeys: 2 }),
);

it('is never tighter than core', { timeout: 60_000 }, () => {
  const places = [
    ...Object.keys(CORE_SCHEMA.shape)
      .filter((name) => name !== 'Extensions' && name !== 'GRPC')
      .map((name) => (value: unknown) => ({ [name]: value, Extensions: { a: {} } })),
    ...Object.keys(EXTENSION_SCHEMA.shape)
      .filter((name) => name !== 'Config')
      .map((name) => (value: unknown) => ({ Extensions: { a: { [name]: value } } })),
    ...Object.keys(NGINX_SCHEMA.shape).map((name) => (value: unknown) => ({
      Extensions: { a: { Config: { [name]: value } } },
    })),
  ];
  fc.assert(
    fc.property(fc.constantFrom(...places), values, (at, value) => {
      const tree = at(value);
      const toml = TOML.stringify(tree as TOML.JsonMap);
      if (parseCoreSettings(toml).ok) {
        expect(validate(tree), `${toml}${JSON.stringify(validate.errors)}`).toBe(true);
      }
    }),
    { numRuns: 3000 },
  );
});
