/** The renderer remembers what it printed by the model's objects: the file must be the one of a renderer that remembers nothing. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClusterModel, Endpoint } from '../../../src/model/cluster.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { DEFAULT_NGINX_OPTIONS, type NginxOptions } from '../../../src/settings/nginx-options.ts';
import { clusterModels } from '../../support/model-arbitraries.ts';
import { endpoint } from '../../support/render-models.ts';

const optionSets: readonly NginxOptions[] = [
  DEFAULT_NGINX_OPTIONS,
  { ...DEFAULT_NGINX_OPTIONS, ipHash: true, hideInfoHeaders: true },
  { ...DEFAULT_NGINX_OPTIONS, proxyProtocol: true, upstreamZoneKiB: 64 },
];

const endpoints: fc.Arbitrary<readonly Endpoint[]> = fc
  .uniqueArray(fc.integer({ min: 1, max: 250 }), { maxLength: 3 })
  .map((hosts) => hosts.sort((a, b) => a - b).map((host) => endpoint(`10.0.0.${host}`, 80)));

interface Step {
  readonly model: ClusterModel;
  readonly options: NginxOptions;
  readonly serverInfo: string;
}

/** Models that share most of their objects, in any order and with any options. */
const walks: fc.Arbitrary<readonly Step[]> = fc.tuple(clusterModels, clusterModels).chain(([first, second]) =>
  fc.array(
    fc.record({
      model: fc
        .record({
          header: fc.constantFrom(first.header, { ...first.header, tlsHop: !first.header.tlsHop }),
          emptied: fc.nat({ max: Math.max(0, first.pools.length - 1) }),
          hidden: fc.nat({ max: first.hosts.length }),
          other: fc.boolean(),
          endpoints: fc.array(endpoints, { minLength: 1, maxLength: 3 }),
          // Most changes of a Swarm are of endpoints alone.
          onlyEndpoints: fc.boolean(),
          changed: fc.array(fc.nat({ max: Math.max(0, first.pools.length - 1) }), { maxLength: 3 }),
        })
        .map(({ header, emptied, hidden, other, onlyEndpoints, changed, endpoints: fresh }) => {
          if (onlyEndpoints) {
            const pools = first.pools.map((pool, at) =>
              changed.includes(at) ? { ...pool, endpoints: fresh[at % fresh.length] ?? [] } : pool,
            );
            return { ...first, pools };
          }
          return other
            ? second
            : {
                header,
                hosts: first.hosts.filter((_, at) => at !== hidden),
                pools: first.pools.map((pool, at) => (at === emptied ? { ...pool, endpoints: [] } : pool)),
              };
        }),
      options: fc.constantFrom(...optionSets),
      serverInfo: fc.constantFrom('interlock/1', 'interlock/2'),
    }),
    { minLength: 2, maxLength: 6 },
  ),
);

function textOf({ model, options, serverInfo }: Step): string {
  const { artifact } = renderNginx(model, options, { serverInfo });
  return artifact.files.map(({ bytes }) => Buffer.from(bytes).toString()).join('');
}

function partOf(step: Step): Step {
  const { hosts, pools } = step.model;
  const [host] = hosts;
  const named = new Set(host?.routes.map(({ pool }) => pool));
  const header = { ...step.model.header, defaultPool: undefined, defaultTls: { kind: 'none' as const } };
  return {
    ...step,
    model: {
      header,
      hosts: hosts.filter((one) => one === host && one.tls.kind !== 'passthrough'),
      pools: pools.filter(({ id }) => named.has(id)),
    },
  };
}

describe('a renderer with a memory', () => {
  it('prints what one without would', () => {
    fc.assert(
      fc.property(walks, (steps) => {
        for (const step of steps) {
          // As the extension does: of a change it renders a part by itself, with the same objects in it.
          textOf(partOf(step));
          expect(textOf(step)).toBe(textOf(structuredClone(step)));
        }
      }),
    );
  });
});
