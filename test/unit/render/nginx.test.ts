import { describe, expect, it } from 'vitest';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import type { CookieName } from '../../../src/model/names.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { upstreamName } from '../../../src/render/nginx/upstreams.ts';
import { DEFAULT_NGINX_OPTIONS } from '../../../src/settings/nginx-options.ts';
import { endpoint, model } from '../../support/render-models.ts';

const APP = model({ 'app.local': { '/': [endpoint('10.0.0.1', 80)] } });

function render(cluster: ClusterModel, options = DEFAULT_NGINX_OPTIONS) {
  return renderNginx(cluster, options, { serverInfo: 'interlock/test' });
}

function textOf(cluster: ClusterModel, options = DEFAULT_NGINX_OPTIONS): string {
  return Buffer.from(render(cluster, options).artifact.files[0]?.bytes ?? []).toString();
}

describe('the artifact', () => {
  it('is one read-only file where the proxy reads it', () => {
    const { artifact, findings } = render(APP);

    expect(artifact.files.map(({ path, mode }) => [path, mode])).toEqual([['/etc/nginx/nginx.conf', 0o444]]);
    expect(artifact.digest).toBe(render(APP).artifact.digest);
    expect(findings).toEqual([]);
  });

  it('of 10,000 hosts costs less than two seconds of processor time, on a busy machine too', () => {
    const hosts = Array.from({ length: 10_000 }, (_, index) => [
      `app-${index}.example.com`,
      { '/': [endpoint('10.0.0.1', 8080), endpoint('10.0.0.2', 8080), endpoint('10.0.0.3', 8080)] },
    ]);
    const large = model(Object.fromEntries(hosts) as Parameters<typeof model>[0]);

    const before = process.cpuUsage();
    render(large);
    const { user } = process.cpuUsage(before);

    expect(user / 1_000).toBeLessThan(2_000);
  });
});

it('refuses a route to a pool that the model lacks', () => {
  expect(() => render({ ...APP, pools: [] })).toThrow('the model has no pool app.local/');
});

it.each([
  ['a-b.local/', 'a_b.local/'],
  [`${'x'.repeat(200)}.a/`, `${'x'.repeat(200)}.b/`],
  ['*.a/', 'a/'],
  ['a/B', 'a/b'],
])('names the upstreams of %s and %s apart', (one, other) => {
  expect(upstreamName(one)).not.toBe(upstreamName(other));
  expect(upstreamName(one)).toMatch(/^[a-z0-9_]{1,69}$/);
});

it.each([
  ['0:0:0:0:0:0:0::', '[::]:80'],
  ['fd00:0:0:0:0:0:1:2', '[fd00::1:2]:80'],
])('writes the IPv6 address %s as NGINX takes it', (address, written) => {
  expect(textOf(model({ 'app.local': { '/': [endpoint(address, 80)] } }))).toContain(`server ${written} `);
});

describe("the operator's raw lines", () => {
  it('replace ours where NGINX takes a directive only once', () => {
    const text = textOf(APP, {
      ...DEFAULT_NGINX_OPTIONS,
      globalOptions: ['worker_rlimit_nofile 5;'],
      httpOptions: ['server_tokens on; gzip on;', 'add_header x-mine 1;'],
    });

    expect(text.match(/server_tokens|worker_rlimit_nofile/g)).toHaveLength(2);
    expect(text).toContain('  add_header x-proxy-id $hostname always;\n');
  });

  it('for TCP open a stream block', () => {
    const text = textOf(APP, { ...DEFAULT_NGINX_OPTIONS, tcpOptions: ['tcp_nodelay on;'] });

    expect(text).toContain('stream {\n  tcp_nodelay on;\n}\n');
    expect(textOf(APP)).not.toContain('stream {');
  });
});

describe('the layout', () => {
  const names = Array.from({ length: 200 }, (_, index) => `app-${index}.local`);
  const many = (hosts: readonly string[]) =>
    textOf(model(Object.fromEntries(hosts.map((name) => [name, { '/': [endpoint('10.0.0.1', 80)] }]))));

  it('keeps the groups of plain hosts small', () => {
    const servers = many(names).split('\n  server {').slice(1);
    const sizes = servers.map((text) => text.match(/location @/g)?.length ?? 0);

    expect(Math.max(...sizes)).toBeLessThanOrEqual(40);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(200);
  });

  it('lets a new host touch no line of the others', () => {
    const before = new Set(many(names).split('\n'));
    const after = many([...names, 'new.local']).split('\n');

    expect(after.filter((line) => !before.has(line)).every((line) => line.includes('new'))).toBe(true);
  });
});

describe('maps', () => {
  /** As many hosts, each with a prefix of its own that is cut and a cookie name of its own. */
  const demanding = (count: number): ClusterModel => {
    const names = Array.from({ length: count }, (_, index) => `app-${index}.local`);
    const routes = names.map((name, index) => [name, { [`/p${index}`]: [endpoint('10.0.0.1', 80)] }]);
    const plain = model(Object.fromEntries(routes) as Parameters<typeof model>[0]);
    return {
      ...plain,
      hosts: plain.hosts.map((entry) => ({
        ...entry,
        routes: entry.routes.map((route) => ({ ...route, rewrite: true })),
      })),
      pools: plain.pools.map((pool, index) => ({
        ...pool,
        balance: { kind: 'cookie' as const, cookie: `c-${index}` as CookieName },
      })),
    };
  };
  const patterns = (text: string) => text.match(/^ +(?:map|geo) |"~/gm)?.length;

  it('and patterns are as many for fifty prefixes and cookies as for one', () => {
    expect(patterns(textOf(demanding(50)))).toBe(patterns(textOf(demanding(1))));
    expect(patterns(textOf(demanding(1)))).toBeGreaterThan(patterns(textOf(APP)) ?? 0);
  });

  it('of a feature are there only when a service asks for it', () => {
    expect(textOf(APP)).not.toMatch(/cut_|sticky_|proxy_ssl/);
  });
});
