/** Random Swarms and intents that share hosts, paths and networks on purpose. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BuiltModels, buildModels, createModelBuilder } from '../../../src/model/build.ts';
import { type ClusterModel, compareText, type HostEntry, type Pool } from '../../../src/model/cluster.ts';
import type { RoutingIntent, UpstreamTls } from '../../../src/model/intent.ts';
import type { Service, Snapshot, Task } from '../../../src/model/snapshot.ts';
import { definitionOf } from '../../../src/settings/cluster-definition.ts';
import { extensionSettings } from '../../support/settings.ts';
import {
  host,
  intent,
  ip,
  network,
  node,
  path,
  port,
  secret,
  service,
  snapshot,
  task,
} from '../../support/snapshots.ts';

interface World {
  readonly parts: Snapshot;
  readonly intents: readonly RoutingIntent[];
}

const DEFINITIONS = [definitionOf(extensionSettings()), definitionOf(extensionSettings('ServiceCluster = "other"\n'))];
const NETWORKS = ['n1', 'n2', 'n3'];
const hosts = ['a.local', 'b.local', 'c.local', '*.local'].map(host);
const prefixes = ['/', '/app', '/app/x'].map(path);

const secretNames = fc.constantFrom(secret('here'), secret('other'), secret('gone'));
const origins = fc.record({
  scheme: fc.constantFrom('http' as const, 'https' as const),
  host: fc.constantFrom(...hosts.filter((name) => !name.startsWith('*'))),
  port: fc.constantFrom(undefined, port(8443)),
});

const intents: fc.Arbitrary<Partial<RoutingIntent>> = fc.record({
  serviceCluster: fc.constantFrom('', '', 'other', 'nobody'),
  hosts: fc.subarray(hosts).map((list) => [...list].sort(compareText)),
  defaultBackend: fc.boolean(),
  port: fc.constantFrom(undefined, port(80), port(8080)),
  network: fc.constantFrom(
    { kind: 'auto' as const },
    { kind: 'bridge' as const },
    { kind: 'named' as const, name: 'app' },
    { kind: 'named' as const, name: 'nowhere' },
  ),
  backendMode: fc.constantFrom('task', 'vip'),
  weight: fc.integer({ min: 1, max: 100 }),
  contextRoot: fc.record({ prefix: fc.constantFrom(...prefixes), rewrite: fc.boolean() }),
  tls: fc.oneof(
    fc.constant({ kind: 'none' as const }),
    fc.constant({ kind: 'passthrough' as const }),
    fc.record({
      kind: fc.constant('terminate' as const),
      certificate: secretNames,
      key: fc.option(secretNames, { nil: undefined }),
      only: fc.boolean(),
    }),
  ),
  upstreamTls: fc.constantFrom<UpstreamTls>(
    { kind: 'off' },
    { kind: 'on', verify: { kind: 'none' } },
    { kind: 'on', verify: { kind: 'required', ca: secret('here') } },
    { kind: 'on', verify: { kind: 'required', ca: secret('gone') } },
  ),
  redirects: fc.array(fc.record({ source: origins, target: origins }), { maxLength: 3 }),
});

const services: fc.Arbitrary<Partial<Service>> = fc.record({
  createdAt: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
  networkIds: fc.shuffledSubarray([...NETWORKS, 'gone']),
  virtualIps: fc.subarray(NETWORKS.map((networkId, at) => ({ networkId, address: ip(`10.${at}.0.2`) }))),
  ports: fc.subarray([
    { protocol: 'tcp' as const, mode: 'host' as const, targetPort: 80, publishedPort: 30_080 },
    { protocol: 'tcp' as const, mode: 'ingress' as const, targetPort: 8080, publishedPort: 30_081 },
  ]),
});

const tasks: fc.Arbitrary<Partial<Task>> = fc.record({
  nodeId: fc.constantFrom('up', 'down', 'unlisted', undefined),
  state: fc.constantFrom('running', 'running', 'starting', 'failed'),
  desiredState: fc.constantFrom('running', 'running', 'shutdown'),
  attachments: fc
    .subarray(NETWORKS)
    .chain((ids) =>
      fc.tuple(...ids.map((networkId) => fc.record({ networkId: fc.constant(networkId), addresses: addresses() }))),
    ),
  hostPorts: fc.subarray([{ protocol: 'tcp' as const, mode: 'host' as const, targetPort: 80, publishedPort: 30_080 }]),
});

function addresses() {
  return fc.array(
    fc.integer({ min: 1, max: 6 }).map((last) => ip(`10.0.0.${last}`)),
    { maxLength: 2 },
  );
}

const worlds: fc.Arbitrary<World> = fc
  .array(fc.tuple(services, intents, fc.array(tasks, { maxLength: 4 })), { maxLength: 6 })
  .map((apps) => {
    const made = apps.map(([parts, wanted, replicas], at) => {
      const one = service({ id: `s${at}`, name: `app${at}`, ...parts });
      return {
        service: one,
        intent: intent(wanted, one),
        tasks: replicas.map((replica, slot) => task({ id: `t${at}.${slot}`, serviceId: one.id, ...replica })),
      };
    });
    return {
      parts: snapshot({
        services: made.map((one) => one.service),
        tasks: made.flatMap((one) => one.tasks),
        networks: NETWORKS.map((id, at) => network({ id, name: ['app', 'app', 'zoo'][at] ?? id })),
        secrets: ['here', 'other'].map((name) => ({ id: name, name, version: 1, labels: {} })),
        nodes: [node({ id: 'up' }), node({ id: 'down', state: 'down', address: ip('10.99.0.12') })],
      }),
      intents: made.map((one) => one.intent),
    };
  });

const build = ({ parts, intents: wanted }: World): BuiltModels => buildModels(parts, wanted, DEFINITIONS);

function shuffled({ parts, intents: wanted }: World): fc.Arbitrary<World> {
  const mixed = <Item>(items: readonly Item[]) =>
    fc.shuffledSubarray([...items], { minLength: items.length, maxLength: items.length });
  return fc.record({
    intents: mixed(wanted),
    parts: fc
      .tuple(mixed(parts.services), mixed(parts.tasks), mixed(parts.networks), mixed(parts.nodes))
      .map(([ofServices, ofTasks, ofNetworks, ofNodes]) => ({
        ...parts,
        services: ofServices,
        tasks: ofTasks,
        networks: ofNetworks,
        nodes: ofNodes,
      })),
  });
}

/** Which parts of the next world are the last one's very objects. */
const kept = fc.record({
  apps: fc.array(fc.constantFrom('all', 'service', 'none'), { minLength: 6, maxLength: 6 }),
  nodes: fc.boolean(),
  networks: fc.boolean(),
  secrets: fc.boolean(),
  /** Nothing but tasks is another: the way of most changes. */
  onlyTasks: fc.boolean(),
});

function follow(last: World, next: World, keep: typeof kept extends fc.Arbitrary<infer Kept> ? Kept : never): World {
  const keeps = (id: string, what: readonly string[]) =>
    what.includes(keep.apps[Number(id.slice(1))] ?? 'none') && last.parts.services.some((one) => one.id === id);
  const pick = <Item>(
    items: (world: World) => readonly Item[],
    idOf: (item: Item) => string,
    what: readonly string[],
  ) => [
    ...items(last).filter((item) => keeps(idOf(item), what)),
    ...items(next).filter((item) => !keeps(idOf(item), what)),
  ];
  const either = ['all', 'service'];
  const tasks = pick(
    (world) => world.parts.tasks,
    (one) => one.serviceId,
    ['all'],
  );
  if (keep.onlyTasks) {
    return { ...last, parts: { ...last.parts, tasks } };
  }
  return {
    intents: pick(
      (world) => world.intents,
      (one) => one.service.id,
      either,
    ),
    parts: {
      ...next.parts,
      services: pick(
        (world) => world.parts.services,
        (one) => one.id,
        either,
      ),
      tasks,
      nodes: keep.nodes ? last.parts.nodes : next.parts.nodes.slice(1),
      networks: keep.networks ? last.parts.networks : next.parts.networks.slice(1),
      secrets: keep.secrets ? last.parts.secrets : next.parts.secrets.slice(1),
    },
  };
}

/** What most services are: nothing about them has to be said, and their hosts are all that they touch. */
const plainApps = fc.record({
  wanted: fc.record({
    serviceCluster: fc.constantFrom('', '', '', 'other'),
    hosts: fc.subarray(hosts, { minLength: 1 }).map((list) => [...list].sort(compareText)),
    contextRoot: fc.record({ prefix: fc.constantFrom(...prefixes), rewrite: fc.boolean() }),
    tls: fc.oneof(
      { weight: 8, arbitrary: fc.constant({ kind: 'none' as const }) },
      {
        weight: 4,
        arbitrary: fc.constant({
          kind: 'terminate' as const,
          certificate: secret('here'),
          key: undefined,
          only: false,
        }),
      },
      { weight: 1, arbitrary: fc.constant({ kind: 'passthrough' as const }) },
    ),
    redirects: fc.oneof(
      { weight: 4, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(fc.record({ source: origins, target: origins }), { maxLength: 2 }) },
    ),
    defaultBackend: fc.integer({ min: 0, max: 20 }).map((roll) => roll === 0),
    pinned: fc.integer({ min: 0, max: 20 }).map((roll) => (roll === 0 ? { stack: undefined } : undefined)),
  }),
  createdAt: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z'),
  replicas: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 3 }),
});

const plainSteps = fc.record({
  what: fc.constantFrom('put', 'put', 'put', 'remove', 'tasks', 'touch'),
  id: fc.integer({ min: 0, max: 9 }),
  /** Looked at together with the one before. */
  isMore: fc.integer({ min: 0, max: 4 }).map((roll) => roll === 0),
  app: plainApps,
});

interface PlainApp {
  readonly service: Service;
  readonly intent: RoutingIntent;
  readonly tasks: readonly Task[];
}

function plainApp(
  id: number,
  { wanted, createdAt, replicas }: typeof plainApps extends fc.Arbitrary<infer App> ? App : never,
): PlainApp {
  const one = service({ id: `s${id}`, name: `app${id}`, createdAt, networkIds: ['n1'] });
  const { pinned, ...labels } = wanted;
  return {
    service: one,
    intent: intent({ port: port(80), ...labels, ...(pinned && { pinned }) }, one),
    tasks: replicas.map((last, slot) =>
      task({
        id: `t${id}.${slot}.${last}`,
        serviceId: one.id,
        nodeId: 'up',
        attachments: [{ networkId: 'n1', addresses: [ip(`10.0.${id}.${last}`)] }],
      }),
    ),
  };
}

function step(
  apps: Map<number, PlainApp>,
  { what, id, app }: typeof plainSteps extends fc.Arbitrary<infer Step> ? Step : never,
): void {
  const known = apps.get(id);
  if (what === 'remove') {
    apps.delete(id);
  } else if (what === 'put') {
    apps.set(id, plainApp(id, app));
  } else if (known !== undefined) {
    // Other tasks; or the same intent of a service that is on another network now.
    apps.set(
      id,
      what === 'tasks'
        ? { ...known, tasks: plainApp(id, app).tasks }
        : {
            ...known,
            service: { ...known.service, networkIds: known.service.networkIds[0] === 'n1' ? ['n2'] : ['n1'] },
          },
    );
  }
}

describe('a builder with memory', () => {
  it('builds the same when services come, go and change one by one', () => {
    const surroundings = snapshot({
      networks: ['n1', 'n2'].map((id) => network({ id, name: id })),
      nodes: [node({ id: 'up' })],
      secrets: [{ id: 'here', name: 'here', version: 1, labels: {} }],
    });
    fc.assert(
      fc.property(fc.array(plainSteps, { minLength: 1, maxLength: 30 }), (steps) => {
        const builder = createModelBuilder(DEFINITIONS);
        const apps = new Map<number, PlainApp>();
        for (const each of steps) {
          step(apps, each);
          if (!each.isMore) {
            const all = [...apps].sort(([a], [b]) => a - b).map(([, app]) => app);
            const parts = {
              ...surroundings,
              services: all.map((app) => app.service),
              tasks: all.flatMap((app) => app.tasks),
            };
            const wanted = all.map((app) => app.intent);
            expect(builder.update(parts, wanted)).toEqual(build({ parts, intents: wanted }));
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('builds what a builder without memory builds, over any sequence of changes', () => {
    fc.assert(
      fc.property(worlds, fc.array(fc.tuple(worlds, kept), { maxLength: 5 }), (first, steps) => {
        const builder = createModelBuilder(DEFINITIONS);
        let world = first;
        expect(builder.update(world.parts, world.intents)).toEqual(build(world));
        for (const [next, keep] of steps) {
          world = follow(world, next, keep);
          expect(builder.update(world.parts, world.intents)).toEqual(build(world));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('hands out the same model when nothing is different, and the same entries of whom nothing was said', () => {
    fc.assert(
      fc.property(worlds, fc.nat(), ({ parts, intents: wanted }, at) => {
        const builder = createModelBuilder(DEFINITIONS);
        const before = builder.update(parts, wanted).models;
        const copy = {
          ...parts,
          services: parts.services.map((one) => ({ ...one })),
          tasks: parts.tasks.map((one) => ({ ...one })),
        };
        builder.update(copy, [...wanted]).models.forEach((model, cluster) => {
          expect(model).toBe(before[cluster]);
        });
        const gone = parts.services[at % Math.max(1, parts.services.length)]?.id;
        const after = builder.update(
          { ...parts, tasks: parts.tasks.filter((one) => one.serviceId !== gone) },
          wanted,
        ).models;
        const name = parts.services.find(({ id }) => id === gone)?.name ?? '';
        after.forEach((model, cluster) => {
          expect(model.hosts).toBe(before[cluster]?.hosts);
          for (const pool of model.pools.filter((one) => !one.services.includes(name))) {
            expect(before[cluster]?.pools).toContain(pool);
          }
        });
      }),
    );
  });
});

describe('buildModels', () => {
  it('does not care for the order of anything', () => {
    const pairs = worlds.chain((world) => fc.tuple(fc.constant(world), shuffled(world)));
    fc.assert(
      fc.property(pairs, ([world, mixed]) => {
        expect(build(mixed)).toEqual(build(world));
      }),
    );
  });

  it('names only pools that are there, uses every pool, and sorts without repeats', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        for (const model of build(world).models) {
          expect(namedPools(model)).toEqual(model.pools.map(({ id }) => id));
          expectSorted(model.hosts.map((entry) => entry.host));
          expectSorted(model.pools.map((pool) => pool.id));
          for (const { routes } of model.hosts) {
            expectSorted(routes.map((route) => route.prefix));
          }
        }
      }),
    );
  });

  it('gives each pool endpoints that can take traffic, each once, in order, with reduced weights', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        for (const pool of build(world).models.flatMap((model) => model.pools)) {
          expectSorted(
            pool.endpoints.map((endpoint) => `${endpoint.address} ${String(endpoint.port).padStart(5, '0')}`),
          );
          expect(commonDivisor(pool)).toBeLessThanOrEqual(1);
          for (const { source } of pool.endpoints) {
            expect(source.kind === 'task' ? isUp(world, source.taskId) : true).toBe(true);
          }
        }
      }),
    );
  });

  it('changes only what a service took part in when that service goes', () => {
    fc.assert(
      fc.property(worlds, fc.nat(), (world, at) => {
        const gone = world.intents[at % Math.max(1, world.intents.length)];
        if (gone === undefined) {
          return;
        }
        const before = build(world).models;
        const after = build(without(world, gone.service.id)).models;
        before.forEach((model, cluster) => {
          const others = model.hosts.filter((entry) => !gone.hosts.includes(entry.host));
          // Not redirects: a loop that it was a part of ends with it.
          expect(after[cluster]?.hosts.map(withoutRedirects)).toEqual(
            expect.arrayContaining(others.map(withoutRedirects)),
          );
          const alone = model.pools.filter((pool) => !pool.services.includes(gone.service.name));
          const left = new Map(after[cluster]?.pools.map((pool) => [pool.id, pool]));
          for (const pool of alone.filter((one) => !couldJoin(one, gone))) {
            expect(left.get(pool.id)).toEqual(pool);
          }
        });
      }),
      { numRuns: 300 },
    );
  });
});

function withoutRedirects(entry: HostEntry): HostEntry {
  return { ...entry, redirects: [] };
}

function without({ parts, intents: wanted }: World, serviceId: string): World {
  return {
    parts: {
      ...parts,
      services: parts.services.filter(({ id }) => id !== serviceId),
      tasks: parts.tasks.filter((one) => one.serviceId !== serviceId),
    },
    intents: wanted.filter((one) => one.service.id !== serviceId),
  };
}

/** It may decide over every pool of its hosts, even where it gives no endpoint. */
function couldJoin(pool: Pool, { hosts: names, defaultBackend }: RoutingIntent): boolean {
  return (
    (defaultBackend && pool.id === '(default)') ||
    names.some((name) => pool.id.startsWith(`${name}/`) || pool.id === `tls:${name}`)
  );
}

function namedPools({ header, hosts: entries }: ClusterModel): readonly string[] {
  const ofRoutes = entries.flatMap(({ routes }) => routes.map(({ pool }) => pool));
  const ofTls = [header.defaultTls, ...entries.map(({ tls }) => tls)].flatMap((tls) =>
    tls.kind === 'passthrough' ? [tls.pool] : [],
  );
  const all = new Set([...ofRoutes, ...ofTls, ...(header.defaultPool === undefined ? [] : [header.defaultPool])]);
  return [...all].sort(compareText);
}

function expectSorted(texts: readonly string[]): void {
  expect(texts).toEqual([...new Set(texts)].sort(compareText));
}

function commonDivisor({ endpoints }: Pool): number {
  const divide = (a: number, b: number): number => (b === 0 ? a : divide(b, a % b));
  return endpoints.reduce((common, { weight }) => divide(common, weight), 0);
}

function isUp({ parts }: World, taskId: string): boolean {
  const found = parts.tasks.find(({ id }) => id === taskId);
  return found?.state === 'running' && found.desiredState === 'running' && found.nodeId !== 'down';
}
