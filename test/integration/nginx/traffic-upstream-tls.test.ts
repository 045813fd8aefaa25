/** TLS from the proxy to the service, through a real NGINX: names, verification, kept connections. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import type { UpstreamTls } from '../../../src/model/intent.ts';
import type { SecretName } from '../../../src/model/names.ts';
import { createAuthority } from '../../support/certificates.ts';
import { local, model } from '../../support/render-models.ts';
import { startProxy, type TestProxy } from './proxy.ts';
import { type EchoService, startEcho, webSocketEcho } from './services.ts';
import { startTlsService, type TlsService } from './tls-clients.ts';

const NONE: UpstreamTls = { kind: 'on', verify: { kind: 'none' } };
const SYSTEM: UpstreamTls = { kind: 'on', verify: { kind: 'required', ca: undefined } };
const OURS: UpstreamTls = { kind: 'on', verify: { kind: 'required', ca: 'our-ca' as SecretName } };

const authority = createAuthority();
const stranger = createAuthority('another CA');

let trusted: TlsService;
let unknown: TlsService;
let plain: EchoService;
let secureEcho: EchoService;
let proxy: TestProxy;

function secured(cluster: ClusterModel, settings: Readonly<Record<string, UpstreamTls>>): ClusterModel {
  return {
    ...cluster,
    pools: cluster.pools.map((pool) => ({ ...pool, upstreamTls: settings[pool.id] ?? pool.upstreamTls })),
  };
}

beforeAll(async () => {
  const good = authority.issue(['good.local', 'rewritten.local', '*.wild.local']);
  [trusted, unknown, plain, secureEcho] = await Promise.all([
    startTlsService('trusted', good),
    startTlsService('unknown', stranger.issue(['self.local', 'strange.local'])),
    startEcho('plain'),
    startEcho('secure', good),
  ]);
  const cluster = model({
    'good.local': { '/': local(trusted.port) },
    'wrong-name.local': { '/': local(trusted.port) },
    'strange.local': { '/': local(unknown.port) },
    'self.local': { '/': local(unknown.port) },
    'system.local': { '/': local(trusted.port) },
    'plain.local': { '/': local(plain.port) },
    'alone.local': { '/': local(unknown.port), '/plain': local(plain.port) },
    'rewritten.local': { '/app': local(secureEcho.port) },
    '*.wild.local': { '/': local(trusted.port) },
    'none.local': { '/': [] },
  });
  const settings = {
    'good.local/': OURS,
    'wrong-name.local/': OURS,
    'strange.local/': OURS,
    'self.local/': NONE,
    'alone.local/': NONE,
    'system.local/': SYSTEM,
    'rewritten.local/app': OURS,
    '*.wild.local/': OURS,
    'none.local/': OURS,
  };
  const hosts = secured(cluster, settings).hosts.map((entry) => ({
    ...entry,
    routes: entry.routes.map((route) => ({ ...route, rewrite: route.prefix === '/app' })),
  }));
  const whole = { ...secured(cluster, settings), hosts };
  proxy = await startProxy(
    { ...whole, header: { ...whole.header, defaultPool: 'self.local/' } },
    { WorkerProcesses: 1 },
    { 'our-ca': authority.certificate },
  );
}, 60_000);

afterAll(async () => {
  await proxy.stop();
  await Promise.all([trusted, unknown, plain, secureEcho].map((service) => service[Symbol.asyncDispose]()));
});

async function ask(host: string, path = '/'): Promise<{ service: string; sni?: string } | number> {
  const answer = await proxy.get(host, path);
  return answer.status === 200 ? (JSON.parse(answer.body) as { service: string; sni?: string }) : answer.status;
}

describe('TLS to the service', () => {
  it.each([
    ['good.local', 'trusted', 'good.local'],
    ['GOOD.local:8080', 'trusted', 'good.local'],
    ['self.local', 'unknown', 'self.local'],
    ['alone.local', 'unknown', 'alone.local'],
    ['a.wild.local', 'trusted', 'a.wild.local'],
    ['unclaimed.local:81', 'unknown', 'unclaimed.local'],
  ])('names the requested host without port: %s', async (host, service, sni) => {
    expect(await ask(host)).toMatchObject({ service, sni });
  });

  it.each([
    ['wrong-name.local', 'a certificate for other names'],
    ['strange.local', 'a certificate of an unknown authority'],
    ['system.local', 'an authority that the system does not know'],
  ])('is refused with 502 at %s: %s', async (host) => {
    expect(await ask(host)).toBe(502);
  });

  it('leaves plain services plain, on the same host too, and empty pools at 503', async () => {
    expect(await ask('plain.local')).toMatchObject({ service: 'plain' });
    expect(await ask('alone.local', '/plain')).toMatchObject({ service: 'plain' });
    expect(await ask('none.local')).toBe(503);
  });

  it.each(['/app/x', '/app/x%2F?'])('goes with a rewritten path: %s', async (path) => {
    expect(await ask('rewritten.local', path)).toMatchObject({ service: 'secure', url: path.slice(4) });
  });

  it.each(['/app/ws', '/app/ws%2F'])('carries WebSockets: %s', async (path) => {
    expect(await webSocketEcho(proxy.http, 'rewritten.local', path)).toMatchObject({ status: 101, echoed: 'ping' });
  });

  it('keeps connections open', async () => {
    await ask('good.local');
    const before = trusted.connections;
    await ask('good.local');
    await ask('good.local');

    expect(trusted.connections).toBe(before);
  });

  it('never sends a request on a connection that was opened for another name', async () => {
    const names = ['a.wild.local', 'b.wild.local', 'a.wild.local'];
    const seen: unknown[] = [];
    for (const name of names) {
      seen.push(await ask(name));
    }

    expect(seen).toMatchObject(names.map((sni) => ({ sni })));
  });
});
