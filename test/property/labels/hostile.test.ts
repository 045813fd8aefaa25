/** Anyone who may deploy a service writes labels: whatever they say goes from labels to models, beside two services that must not notice. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LABEL_NAMES, LABEL_PREFIX } from '../../../src/labels/label-table.ts';
import { modelsOf } from '../../../src/labels/models.ts';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { parseHostname, parsePathPrefix, parseSecretName } from '../../../src/model/names.ts';
import type { Service } from '../../../src/model/snapshot.ts';
import { definitionOf } from '../../../src/settings/cluster-definition.ts';
import { extensionSettings } from '../../support/settings.ts';
import { ip, service, snapshot, task } from '../../support/snapshots.ts';

const DEFINITIONS = [definitionOf(extensionSettings())];
const SPECIAL = [
  ';',
  '{',
  '}',
  '"',
  "'",
  '$',
  '\\',
  '\n',
  '\r',
  '\0',
  '#',
  '`',
  '\u2028',
  '%2e%2e',
  '..',
  '*',
  '💥',
  'ß',
];

/** Text around which NGINX, the shell or Swarm would trip, and long lists of it. */
const pieces = fc.oneof(
  fc.constantFrom(...SPECIAL),
  fc.constantFrom(
    'evil.local',
    'http://evil.local',
    'https://evil.local',
    '/app',
    ',',
    ';',
    'true',
    'cert',
    '10s',
    '7',
    'required',
    'vip',
  ),
  fc.string({ unit: 'binary', maxLength: 8 }),
);
const texts = fc.oneof(
  fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join('')),
  fc.array(pieces, { minLength: 1, maxLength: 4 }).map((parts) => `${parts.join('')},`.repeat(2000).slice(0, 65_536)),
  fc.constantFrom(';', ',', '/', 'a', '$', '\0').map((one) => one.repeat(65_536)),
);
/** Values that are good, so that the bad ones are not all refused at the first label. */
const GOOD: Readonly<Record<string, string>> = {
  hosts: 'evil.local,*.evil.local,b.evil.local',
  port: '8080',
  context_root: '/app',
  ssl_cert: 'cert',
  ssl_key: 'gone',
  redirects: 'http://evil.local,http://b.evil.local;http://b.evil.local,http://evil.local',
  sticky_session_cookie: 'my-sid',
  ssl_passthrough: 'true',
  ssl_backend: 'true',
  ssl_backend_tls_verify: 'required',
  ssl_backend_ca: 'cert',
  default_backend: 'true',
};
const labels: fc.Arbitrary<Readonly<Record<string, string>>> = fc
  .tuple(
    fc.subarray(Object.entries(GOOD)),
    fc.dictionary(
      fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...LABEL_NAMES) }, { weight: 1, arbitrary: fc.string() }),
      texts,
      {
        maxKeys: 8,
      },
    ),
  )
  .map(([good, bad]) =>
    Object.fromEntries(
      Object.entries({ ...Object.fromEntries(good), ...bad }).map(([name, value]) => [LABEL_PREFIX + name, value]),
    ),
  );

const VICTIMS = [
  victim('one', { hosts: 'one.local', ssl_cert: 'cert', ssl_only: 'true' }),
  victim('two', { hosts: 'two.local,*.two.local', context_root: '/app', context_root_rewrite: 'true' }),
];
const TASKS = ['one', 'two', 'evil'].map((id, at) =>
  task({ id: `t-${id}`, serviceId: id, attachments: [{ networkId: 'net1', addresses: [ip(`10.0.1.${at + 1}`)] }] }),
);

function victim(name: string, own: Readonly<Record<string, string>>): Service {
  const full = Object.entries({ port: '8080', ...own }).map(([key, value]) => [LABEL_PREFIX + key, value] as const);
  return service({ id: name, name, labels: Object.fromEntries(full) });
}

function build(...more: readonly Service[]) {
  const secrets = [{ id: 'c', name: 'cert', version: 1, labels: {} }];
  const { built, findings } = modelsOf(
    snapshot({ services: [...VICTIMS, ...more], tasks: TASKS, secrets }),
    DEFINITIONS,
  );
  return { model: built.models[0] as ClusterModel, findings };
}

describe('hostile labels', () => {
  const alone = build();

  it.each(['2020-01-01T00:00:00Z', '2026-12-31T00:00:00Z'])(
    'of a service of %s: no throw, every name keeps its grammar, other services keep their entries, findings are few',
    (createdAt) => {
      fc.assert(
        fc.property(labels, (own) => {
          const { model, findings } = build(service({ id: 'evil', name: 'evil', createdAt, labels: own }));
          expectGrammar(model);
          if (!model.hosts.some(({ host }) => /(?:^|\.)(?:one|two)\.local$/.test(host) && !owned(host))) {
            expect(model.hosts).toEqual(expect.arrayContaining([...alone.model.hosts]));
            expect(model.pools).toEqual(expect.arrayContaining([...alone.model.pools]));
          }
          expect(findings.length).toBeLessThanOrEqual(150);
          expect(findings.every((one) => one.service === 'evil' && (one.value ?? '').length <= 121)).toBe(true);
          expect(findings.every((one) => one.advice.length < 1000)).toBe(true);
        }),
        { numRuns: 300 },
      );
    },
  );

  it('thousands of redirects and hosts that cannot be give ten findings of a kind', () => {
    const hosts = Array.from({ length: 2000 }, (_, at) => `h${at}.local`);
    const own = {
      [`${LABEL_PREFIX}hosts`]: hosts.join(),
      [`${LABEL_PREFIX}port`]: '80',
      [`${LABEL_PREFIX}redirects`]: hosts.map((host) => `https://${host},http://${host}`).join(';'),
    };
    const { findings } = build(service({ id: 'evil', name: 'evil', labels: own }));
    expect(findings.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => 'ROUTE.REDIRECT_UNREACHABLE'));
    expect(findings.at(-1)?.advice).toContain('1990 more');
  });
});

function owned(host: string): boolean {
  return ['one.local', 'two.local', '*.two.local'].includes(host);
}

/** What may become text in a proxy's file. Names of services and networks are Swarm's and have its grammar. */
function expectGrammar({ hosts, pools }: ClusterModel): void {
  for (const { host, tls, routes, redirects } of hosts) {
    expect(parseHostname(host)).toBe(host);
    expect(routes.every(({ prefix }) => parsePathPrefix(prefix) === prefix)).toBe(true);
    expect(
      redirects.every(({ source, target }) => [source, target].every((one) => parseHostname(one.host) === one.host)),
    ).toBe(true);
    if (tls.kind === 'terminate') {
      expect(parseSecretName(tls.certificate.secret)).toBe(tls.certificate.secret);
      expect(tls.certificate.path).toBe(`/run/secrets/${tls.certificate.secret}`);
    }
  }
  for (const { id, balance, upstreamTls } of pools) {
    expect(id).not.toMatch(/[\s"';{}$\\`\p{C}]/u);
    expect(JSON.stringify([balance, upstreamTls])).not.toMatch(/[\s';$\\`\p{C}]/u);
  }
}
