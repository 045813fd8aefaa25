import { describe, expect, it } from 'vitest';
import { compareRoutes, digestRoutes, type RoutedService, serviceChanges } from '../../../src/model/routes.ts';
import { host, intent, path, port, secret, service } from '../../support/snapshots.ts';

const routed = (parts: Partial<RoutedService> = {}): RoutedService => ({
  name: 'shop',
  id: 's1',
  createdAt: '2026-01-01T00:00:00Z',
  stack: undefined,
  labels: { 'com.docker.lb.hosts': 'shop.local' },
  ...parts,
});

describe('digestRoutes', () => {
  it('is that of names, stacks and labels alone', () => {
    const digest = digestRoutes({ services: [routed()] });
    expect(digestRoutes({ services: [routed({ id: 's2', createdAt: '2026-02-01T00:00:00Z' })] })).toBe(digest);
    expect(digestRoutes({ services: [routed({ name: 'other' })] })).not.toBe(digest);
    expect(digestRoutes({ services: [routed({ stack: 'a' })] })).not.toBe(digest);
    expect(digestRoutes({ services: [routed({ labels: {} })] })).not.toBe(digest);
    expect(digestRoutes({ services: [] })).not.toBe(digest);
  });

  it('does not depend on the order in which labels were written', () => {
    const [one, two] = [
      { a: '1', b: '2' },
      { b: '2', a: '1' },
    ];
    expect(digestRoutes({ services: [routed({ labels: one })] })).toBe(
      digestRoutes({ services: [routed({ labels: two })] }),
    );
  });
});

it('names services that came, went, or have other labels', () => {
  const before = { services: [routed({ name: 'gone' }), routed({ name: 'kept' }), routed({ name: 'new labels' })] };
  const after = {
    services: [
      routed({ name: 'kept', id: 'again' }),
      routed({ name: 'new' }),
      routed({ name: 'new labels', labels: {} }),
    ],
  };
  expect(serviceChanges(before, after)).toEqual({ added: ['new'], changed: ['new labels'], removed: ['gone'] });
});

it.each([
  ['the same labels in another order', { labels: { b: '2', a: '1' } }, []],
  ['another value', { labels: { a: '1', b: '3' } }, ['web']],
  ['another name of a label', { labels: { a: '1', c: '2' } }, ['web']],
  ['one label more', { labels: { a: '1', b: '2', c: '3' } }, ['web']],
  ['one label less', { labels: { a: '1' } }, ['web']],
  ['another stack', { labels: { a: '1', b: '2' }, stack: 'other' }, ['web']],
])('takes a service for changed as its digest does: %s', (_, other: Partial<RoutedService>, changed) => {
  const before = { services: [routed({ name: 'web', labels: { a: '1', b: '2' } })] };
  const after = { services: [routed({ name: 'web', ...other })] };
  expect(serviceChanges(before, after)).toEqual({ added: [], changed, removed: [] });
  expect(digestRoutes(before) !== digestRoutes(after)).toBe(changed.length > 0);
});

describe('compareRoutes', () => {
  it('says nothing where nothing differs, whatever the ids and the order', () => {
    const other = service({ id: 'x', name: 'x' });
    const again = service({ id: 'again' });
    expect(compareRoutes([intent(), intent({}, other)], [intent({}, other), intent({}, again)])).toEqual([]);
  });

  it('names the labels that make the difference', () => {
    const changed = intent({
      port: port(9090),
      weight: 3,
      tls: { kind: 'terminate', certificate: secret('cert'), key: undefined, only: true },
      balance: { kind: 'cookie', cookie: 'sid' as never },
      upstreamTls: { kind: 'on', verify: { kind: 'required', ca: secret('ca') } },
    });
    expect(compareRoutes([intent()], [changed])).toEqual([
      {
        kind: 'changed',
        host: 'demo.local',
        path: '/',
        service: 'demo',
        options: [
          { name: 'port', before: '8080', after: '9090' },
          { name: 'ssl_backend', before: '', after: 'true' },
          { name: 'ssl_backend_ca', before: '', after: 'ca' },
          { name: 'ssl_cert', before: '', after: 'cert' },
          { name: 'ssl_only', before: '', after: 'true' },
          { name: 'sticky_session_cookie', before: '', after: 'sid' },
          { name: 'weight', before: '', after: '3' },
        ],
      },
    ]);
  });

  it('takes a move to another host or path as one gone and one new, by host', () => {
    const moved = intent({ hosts: [host('b.local')], contextRoot: { prefix: path('/app'), rewrite: true } });
    expect(compareRoutes([intent({ hosts: [host('c.local')] })], [moved])).toMatchObject([
      { kind: 'added', host: 'b.local', path: '/app', options: [{ name: 'context_root_rewrite' }, { name: 'port' }] },
      { kind: 'removed', host: 'c.local', path: '/', options: [{ name: 'port', before: '8080', after: '' }] },
    ]);
  });

  it('shows a default backend as the host without a name', () => {
    expect(compareRoutes([], [intent({ hosts: [], defaultBackend: true })])).toMatchObject([
      { kind: 'added', host: '' },
    ]);
  });
});
