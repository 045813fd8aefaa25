import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isAttached, parseSubnet } from '../../../src/agent/localise/attached.ts';
import { type Facts, localise } from '../../../src/agent/localise/localise.ts';
import { findReferences, pairId } from '../../../src/agent/localise/references.ts';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { DEFAULT_NGINX_OPTIONS } from '../../../src/settings/nginx-options.ts';
import { clusterModels, ipAddresses } from '../../support/model-arbitraries.ts';

const EVERYWHERE = [parseSubnet('0.0.0.0/0'), parseSubnet('::/0')];
const GOOD: Facts = {
  attached: EVERYWHERE,
  badPairs: new Set(),
  badAuthorities: new Set(),
  standInAuthority: '/x.pem',
  routeLog: undefined,
};

/** Secrets where core mounts them. */
const models: fc.Arbitrary<ClusterModel> = clusterModels.map((model) => ({
  ...model,
  hosts: model.hosts.map((host) => ({
    ...host,
    tls:
      host.tls.kind === 'terminate'
        ? {
            ...host.tls,
            certificate: { ...host.tls.certificate, path: `/run/secrets/${host.tls.certificate.secret}` },
            key: host.tls.key && { ...host.tls.key, path: `/run/secrets/${host.tls.key.secret}` },
          }
        : host.tls,
  })),
}));

function render(model: ClusterModel): string {
  const { artifact } = renderNginx(model, DEFAULT_NGINX_OPTIONS, { serverInfo: 'interlock/test' });
  return Buffer.from(artifact.files[0]?.bytes ?? []).toString('latin1');
}

describe('a rendered file', () => {
  it('is the same string for a task that has everything', () => {
    fc.assert(
      fc.property(models, (model) => {
        const text = render(model);
        expect(localise(text, GOOD).text).toBe(text);
      }),
    );
  });

  it('names every pair of the model, and loses all of them when all are bad, line for line', () => {
    fc.assert(
      fc.property(models, (model) => {
        const text = render(model);
        const { pairs } = findReferences(text);
        const wanted = model.hosts.flatMap(({ tls }) =>
          tls.kind === 'terminate'
            ? [pairId({ certificate: tls.certificate.secret, key: (tls.key ?? tls.certificate).secret })]
            : [],
        );
        expect(wanted.filter((id) => !pairs.has(id))).toEqual([]);
        const { text: changed } = localise(text, { ...GOOD, badPairs: new Set(pairs.keys()) });
        expect(changed).not.toMatch(/^\s*ssl_certificate/m);
        expect(changed.split('\n')).toHaveLength(text.split('\n').length);
      }),
    );
  });

  it('leads nowhere that the task is not attached to, node addresses excepted', () => {
    const subnets = ipAddresses.map((address) => [parseSubnet(`${address}/${address.includes(':') ? 16 : 8}`)]);
    fc.assert(
      fc.property(models, subnets, (model, attached) => {
        const { text } = localise(render(model), { ...GOOD, attached });
        const blocks = text.match(/^ {2}upstream [0-9a-f]{12}_.*\{\n(?: {4}.*\n)*/gm) ?? [];
        for (const block of blocks.filter((each) => !each.includes('# node addresses'))) {
          const servers = [...block.matchAll(/^ {4}server (\S+):\d+(.*);$/gm)];
          const live = servers.filter(([, , options = '']) => !options.endsWith(' down'));
          expect(live.filter(([, address = '']) => !isAttached(address, attached))).toEqual([]);
        }
      }),
    );
  });
});
