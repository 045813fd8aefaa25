/** A pinned cluster: the routes of one time with the endpoints of another, whatever happened to labels, tasks and services between. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createRouter, modelsOf, type Pins } from '../../../src/labels/models.ts';
import { parseRoutes, routesText } from '../../../src/labels/route-sets.ts';
import { type ClusterModel, compareText } from '../../../src/model/cluster.ts';
import { digestRoutes, type RouteSet } from '../../../src/model/routes.ts';
import type { Service, Snapshot, Task } from '../../../src/model/snapshot.ts';
import { definitionOf } from '../../../src/settings/cluster-definition.ts';
import { extensionSettings } from '../../support/settings.ts';
import { ip, service, snapshot, task } from '../../support/snapshots.ts';

const DEFINITIONS = [definitionOf(extensionSettings()), definitionOf(extensionSettings('ServiceCluster = "other"\n'))];

type Labels = Readonly<Record<string, string>>;

const labels: fc.Arbitrary<Labels> = fc
  .record(
    {
      hosts: fc.subarray(['a.local', 'b.local', '*.c.local'], { minLength: 1 }).map((list) => list.join(',')),
      port: fc.constantFrom('80', '8080'),
      context_root: fc.constantFrom('/', '/app'),
      service_cluster: fc.constantFrom('', '', 'other'),
      weight: fc.constantFrom('1', '7'),
      sticky_session_cookie: fc.constantFrom('a', 'b'),
      ssl_cert: fc.constantFrom('here', 'gone'),
      ssl_only: fc.constantFrom('true', 'false'),
      ssl_passthrough: fc.constantFrom('true', 'false'),
      default_backend: fc.constantFrom('true', 'false'),
      max_fails: fc.constantFrom('1', 'bad'),
      redirects: fc.constantFrom('http://a.local,https://b.local', 'http://b.local,http://a.local'),
    },
    { requiredKeys: ['port', 'service_cluster'] },
  )
  .map((chosen) => Object.fromEntries(Object.entries(chosen).map(([name, value]) => [`com.docker.lb.${name}`, value])));

const addresses = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 3 });

interface App {
  readonly service: Service;
  readonly before: Labels;
  readonly now: Labels;
  readonly tasks: readonly Task[];
  readonly isGone: boolean;
}

const apps: fc.Arbitrary<readonly App[]> = fc
  .array(
    fc.tuple(labels, labels, addresses, fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'), fc.boolean()),
    { maxLength: 5 },
  )
  .map((list) =>
    list.map(([before, now, is, createdAt, isGone], at) => ({
      service: service({ id: `s${at}`, name: `app${at}`, createdAt }),
      before,
      now,
      tasks: is.map((last) => taskOf(at, last)),
      isGone,
    })),
  );

function taskOf(at: number, last: number): Task {
  const attachments = [{ networkId: 'net1', addresses: [ip(`10.0.${at}.${last}`)] }];
  return task({ id: `t${at}.${last}`, serviceId: `s${at}`, attachments });
}

function swarm(
  parts: readonly { readonly service: Service; readonly labels: Labels; readonly tasks: readonly Task[] }[],
): Snapshot {
  return snapshot({
    services: parts.map((part) => ({ ...part.service, labels: part.labels })),
    tasks: parts.flatMap((part) => part.tasks),
    secrets: [{ id: 'here', name: 'here', version: 1, labels: {} }],
  });
}

/** As it was when the revision was made. */
function pinOf(list: readonly App[]): RouteSet {
  const was = modelsOf(swarm(list.map((app) => ({ ...app, labels: app.before, tasks: [] }))), DEFINITIONS);
  return was.routesOf('');
}

const now = (list: readonly App[]) => swarm(list.map((app) => ({ ...app, labels: app.now })));
const modelIn = (state: Snapshot, at: 0 | 1, pins?: Pins) => modelsOf(state, DEFINITIONS, pins).built.models[at];

/** A pool without endpoints needs no network. */
function poolsOf(model: ClusterModel | undefined): unknown {
  return model?.pools.map((pool) => ({ ...pool, network: undefined }));
}

it('is the old routes with the new endpoints, and no other cluster is touched', () => {
  fc.assert(
    fc.property(apps, (list) => {
      const pins = new Map([['', pinOf(list)]]);
      const pinned = modelIn(now(list), 0, pins);
      expect(pinned).toEqual(modelIn(swarm(list.map((app) => ({ ...app, labels: app.before }))), 0));
      expect(modelIn(now(list), 1, pins)).toEqual(modelIn(now(list), 1));
    }),
  );
});

it('keeps the routes of services that are gone, without endpoints', () => {
  fc.assert(
    fc.property(apps, (list) => {
      const pinned = modelIn(now(list.filter(({ isGone }) => !isGone)), 0, new Map([['', pinOf(list)]]));
      const idle = list.map((app) => ({ ...app, labels: app.before, tasks: app.isGone ? [] : app.tasks }));
      const expected = modelIn(swarm(idle), 0);
      expect(pinned?.hosts).toEqual(expected?.hosts);
      expect(pinned?.header).toEqual(expected?.header);
      expect(poolsOf(pinned)).toEqual(poolsOf(expected));
      for (const pool of pinned?.pools ?? []) {
        expect(pool.network.kind === 'overlay' || pool.endpoints.length === 0).toBe(true);
      }
    }),
  );
});

it('follows services that were made anew under their old names', () => {
  fc.assert(
    fc.property(apps, (list) => {
      const again = list.map((app, at) => ({
        service: { ...app.service, id: `new${at}`, createdAt: '2026-03-01T00:00:00Z' },
        labels: app.now,
        tasks: app.tasks.map((one) => ({ ...one, serviceId: `new${at}` })),
      }));
      expect(modelIn(swarm(again), 0, new Map([['', pinOf(list)]]))).toEqual(
        modelIn(swarm(list.map((app) => ({ ...app, labels: app.before }))), 0),
      );
    }),
  );
});

it('comes to the same step by step as at once, pinned and let go in any order', () => {
  fc.assert(
    fc.property(apps, fc.array(fc.tuple(fc.boolean(), fc.boolean()), { maxLength: 6 }), (list, steps) => {
      const pins: Pins = new Map([['', pinOf(list)]]);
      const router = createRouter(DEFINITIONS);
      for (const [isPinned, isReduced] of steps) {
        const state = now(isReduced ? list.filter(({ isGone }) => !isGone) : list);
        const chosen: Pins = isPinned ? pins : new Map();
        const { built, findings } = router.update(state, chosen);
        const fresh = modelsOf(state, DEFINITIONS, chosen);
        expect(built.models).toEqual(fresh.built.models);
        expect(findings).toEqual(fresh.findings);
      }
    }),
  );
});

it('survives being stored', () => {
  fc.assert(
    fc.property(apps, (list) => {
      const routes = pinOf(list);
      const read = parseRoutes(routesText(routes));
      expect(read).toEqual(routes);
      expect(read && digestRoutes(read)).toBe(digestRoutes(routes));
      expect(routes.services.map(({ name }) => name)).toEqual(
        routes.services.map(({ name }) => name).sort(compareText),
      );
    }),
  );
});

it('reads any text without throwing', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(parseRoutes(text)?.services ?? []).toBeInstanceOf(Array);
    }),
  );
});
