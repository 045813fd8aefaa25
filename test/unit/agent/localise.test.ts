import { describe, expect, it } from 'vitest';
import {
  defaultInterfaces,
  isAttached,
  parseSubnet,
  routedSubnets,
  subnetsOf,
} from '../../../src/agent/localise/attached.ts';
import { type Facts, localise } from '../../../src/agent/localise/localise.ts';
import { findReferences } from '../../../src/agent/localise/references.ts';
import type { ClusterModel, HostTls, Pool } from '../../../src/model/cluster.ts';
import type { SecretName } from '../../../src/model/names.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { DEFAULT_NGINX_OPTIONS, type NginxOptions } from '../../../src/settings/nginx-options.ts';
import { endpoint, model } from '../../support/render-models.ts';

const NEAR = [parseSubnet('10.0.1.7/24'), parseSubnet('fd00:1::7/64')];
const NOTHING: Facts = {
  attached: NEAR,
  badPairs: new Set(),
  badAuthorities: new Set(),
  standInAuthority: '/run/interlock/no-authority.pem',
  routeLog: undefined,
};

const secret = (name: string) => ({ secret: name as SecretName, path: `/run/secrets/${name}` });
const tls = (certificate: string, key: string): HostTls => ({
  kind: 'terminate',
  certificate: secret(certificate),
  key: secret(key),
  only: false,
});

function render(cluster: ClusterModel, options: Partial<NginxOptions> = {}): string {
  const { artifact } = renderNginx(cluster, { ...DEFAULT_NGINX_OPTIONS, ...options }, { serverInfo: 'interlock/test' });
  return Buffer.from(artifact.files[0]?.bytes ?? []).toString();
}

function withTls(cluster: ClusterModel, byHost: Readonly<Record<string, HostTls>>): ClusterModel {
  return { ...cluster, hosts: cluster.hosts.map((entry) => ({ ...entry, tls: byHost[entry.host] ?? entry.tls })) };
}

function withPools(cluster: ClusterModel, change: (pool: Pool) => Partial<Pool>): ClusterModel {
  return { ...cluster, pools: cluster.pools.map((pool) => ({ ...pool, ...change(pool) })) };
}

const near = [endpoint('10.0.1.20', 8080), endpoint('10.0.1.21', 8080)];
const far = [endpoint('10.0.9.20', 8080), endpoint('10.0.9.21', 8080)];

describe('a certificate pair that cannot be used', () => {
  const text = render(
    withTls(model({ 'a.local': { '/': near }, 'b.local': { '/': near }, 'c.local': { '/': near } }), {
      'a.local': tls('a.crt', 'a.key'),
      'b.local': tls('b.crt', 'b.key'),
      'c.local': tls('a.crt', 'a.key'),
    }),
  );

  it('is found with the hosts that use it', () => {
    expect([...findReferences(text).pairs.values()]).toEqual([
      { certificate: 'a.crt', key: 'a.key', hosts: ['a.local', 'c.local'] },
      { certificate: 'b.crt', key: 'b.key', hosts: ['b.local'] },
    ]);
  });

  it('takes the handshake of its hosts and leaves every other line where it was', () => {
    const changed = localise(text, { ...NOTHING, badPairs: new Set(['b.crt b.key']) }).text;
    const [before, after] = [text.split('\n'), changed.split('\n')];
    expect(after).toHaveLength(before.length);
    expect(after.filter((line, index) => line !== before[index])).toEqual([
      '    ssl_reject_handshake on;',
      '    # b.crt and b.key cannot be used here',
    ]);
  });

  it("is not looked for in the operator's raw lines, nor elsewhere than in /run/secrets", () => {
    const raw = ['ssl_certificate /run/secrets/a.crt;', 'ssl_certificate_key /run/secrets/a.key;'];
    const file = render(model({ 'a.local': { '/': near } }), { httpOptions: raw });
    expect(file).toContain('  ssl_certificate /run/secrets/a.crt;\n  ssl_certificate_key /run/secrets/a.key;\n');
    expect(findReferences(file).pairs.size).toBe(0);
    expect(localise(file, { ...NOTHING, badPairs: new Set(['a.crt a.key']) }).text).toBe(file);
  });
});

describe('the place for the log of requests per route', () => {
  const routeLog = 'syslog:server=127.0.0.1:4711,nohostname,tag=nginx';
  const changesOf = (options: Partial<NginxOptions>) => {
    const text = render(model({ 'a.local': { '/': near } }), options);
    const [before, after] = [text, localise(text, { ...NOTHING, routeLog }).text].map((file) => file.split('\n'));
    expect(after).toHaveLength(before?.length ?? 0);
    return after?.filter((line, index) => line !== before?.[index]);
  };

  it('gets our log beside the one there is', () => {
    expect(changesOf({ routeMetrics: true })).toEqual([`  access_log ${routeLog} interlock_route;`]);
  });

  it('gets our log instead of one that is off, which would cancel both', () => {
    expect(changesOf({ routeMetrics: true, accessLogPath: 'off' })).toEqual([
      '  # access_log off',
      `  access_log ${routeLog} interlock_route;`,
    ]);
  });

  it('is not there without the key, and stays a comment where nobody listens', () => {
    expect(changesOf({ accessLogPath: 'off' })).toEqual([]);
    const text = render(model({ 'a.local': { '/': near } }), { routeMetrics: true });
    expect(localise(text, NOTHING).text).toBe(text);
  });
});

describe('a CA that cannot be used', () => {
  it('is exchanged for one that has signed nothing, where it is named and nowhere else', () => {
    const ca = 'ca.pem' as SecretName;
    const text = render(
      withPools(model({ 'a.local': { '/': near } }), () => ({
        upstreamTls: { kind: 'on', verify: { kind: 'required', ca } },
      })),
    );
    expect([...findReferences(text).authorities]).toEqual(['ca.pem']);
    const changed = localise(text, { ...NOTHING, badAuthorities: new Set(['ca.pem']) }).text;
    expect(changed).toBe(text.replaceAll('/run/secrets/ca.pem', '/run/interlock/no-authority.pem'));
    expect(changed).not.toBe(text);
  });
});

describe('a pool on a network that the task is not attached to', () => {
  it('gets the internal server in the place of each of its own, over http', () => {
    const text = render(
      withPools(model({ 'far.local': { '/': far }, 'near.local': { '/': near } }), () => ({
        upstreamTls: { kind: 'on', verify: { kind: 'none' } },
      })),
    );
    const { text: changed, outOfReach } = localise(text, NOTHING);
    expect(outOfReach).toEqual([expect.stringMatching(/^[0-9a-f]{12}_far_local(_[0-9a-f]+)?$/)]);
    expect(changed).not.toContain('10.0.9.');
    expect(changed.match(/server unix:\/run\/interlock-unavailable\.sock;/g)).toHaveLength(2);
    expect(changed).toMatch(/proxy_pass http:\/\/[0-9a-f]{12}_far_local/);
    expect(changed).toMatch(/proxy_pass https:\/\/[0-9a-f]{12}_near_local/);
    expect(changed.split('\n')).toHaveLength(text.split('\n').length);
  });

  it('is left alone where its addresses are those of nodes', () => {
    const text = render(withPools(model({ 'far.local': { '/': far } }), () => ({ network: { kind: 'host' } })));
    expect(localise(text, NOTHING)).toEqual({ text, outOfReach: [] });
  });

  it('keeps the servers within reach when there are some', () => {
    const text = render(model({ 'mixed.local': { '/': [...near, ...far] } }));
    const { text: changed, outOfReach } = localise(text, NOTHING);
    expect(outOfReach).toEqual([]);
    expect(changed).toMatch(/server 10\.0\.9\.20:8080 [^;]* down;/);
    expect(changed).toMatch(/server 10\.0\.1\.20:8080 [^;]*fail_timeout=10s;/);
  });

  it('is told by IPv6 addresses too', () => {
    const text = render(
      model({ 'a.local': { '/': [endpoint('fd00:1::20', 80)] }, 'b.local': { '/': [endpoint('fd00:2::20', 80)] } }),
    );
    expect(localise(text, NOTHING).outOfReach).toEqual([expect.stringMatching(/_b_local(_[0-9a-f]+)?$/)]);
  });

  it("is never an operator's own upstream", () => {
    const raw = ['upstream mine { server 192.0.2.1:80; }', 'upstream also_mine {', '  server 192.0.2.2:80;', '}'];
    const text = render(model({ 'a.local': { '/': near } }), { httpOptions: raw });
    expect(localise(text, NOTHING)).toEqual({ text, outOfReach: [] });
  });
});

describe('what a task is attached to', () => {
  const address = (cidr: string, family: 'IPv4' | 'IPv6' = 'IPv4') =>
    ({ address: cidr.split('/')[0] ?? '', netmask: '', family, mac: '', internal: false, cidr, scopeid: 0 }) as never;

  it('is every subnet but that of the way out', () => {
    const route =
      'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n' +
      'eth2\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n' +
      'eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n';
    const ways = defaultInterfaces(route, '');
    expect([...ways]).toEqual(['eth2']);
    const attached = subnetsOf({ eth0: [address('10.0.1.5/24')], eth2: [address('172.18.0.3/16')] }, ways);
    expect(['10.0.1.200', '172.18.0.9', '10.0.2.1'].map((each) => isAttached(each, attached))).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('is every subnet of a network that has several, by the routes to the others', () => {
    const zero = '00000000000000000000000000000000';
    const route =
      'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n' +
      'eth2\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n' +
      'eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n' +
      'eth0\t0001000A\t0100000A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n' +
      'eth2\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n';
    const ipv6 =
      `fd000002000000000000000000000000 40 ${zero} 00 fd000001000000000000000000000001 00000400 1 0 3 eth0\n` +
      `fd000003000000000000000000000000 40 ${zero} 00 ${zero} 00000100 1 0 1 eth2\n` +
      `fe800000000000000000000000000000 40 ${zero} 00 ${zero} 00000100 1 0 1 eth0\n` +
      `${zero} 00 ${zero} 00 ${zero} ffffffff 1 0 200200 lo\n`;
    const attached = routedSubnets(route, ipv6, new Set(['eth2']));
    expect(
      ['10.0.0.7', '10.0.1.7', '10.0.2.7', '172.18.0.9', '[fd00:2::7]', '[fd00:3::7]', '[fe80::1]'].filter((each) =>
        isAttached(each, attached),
      ),
    ).toEqual(['10.0.0.7', '10.0.1.7', '[fd00:2::7]']);
  });

  it('leaves out the way of IPv6 too', () => {
    const zero = '00000000000000000000000000000000';
    const ways = defaultInterfaces(
      '',
      `${zero} 00 ${zero} 00 fe800000000000000000000000000001 00000400 1 0 3 eth1\n${zero} 00 ${zero} 00 ${zero} ffffffff 1 0 200200 lo\n`,
    );
    expect([...ways]).toEqual(['eth1']);
  });
});
