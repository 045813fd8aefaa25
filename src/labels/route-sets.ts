/** Between services, the route sets that history keeps of them, and the intents that a pinned route set stands for. Pure. */
import { z } from 'zod';
import { absentService } from '../model/absent-service.ts';
import { compareText } from '../model/cluster.ts';
import type { RoutingIntent } from '../model/intent.ts';
import type { RoutedService, RouteSet } from '../model/routes.ts';
import { type Service, STACK_LABEL } from '../model/snapshot.ts';
import { LABEL_PREFIX } from './label-table.ts';
import { parseLabels } from './parse-labels.ts';

/** `services` are those that are routed in one cluster, in any order. */
export function routeSetOf(services: readonly Service[]): RouteSet {
  return { services: services.map(routedServiceOf).sort((a, b) => compareText(a.name, b.name)) };
}

const routed = new WeakMap<Service, RoutedService>();

function routedServiceOf(service: Service): RoutedService {
  const known = routed.get(service);
  if (known !== undefined) {
    return known;
  }
  const made = {
    name: service.name,
    id: service.id,
    createdAt: service.createdAt,
    stack: service.labels[STACK_LABEL],
    labels: Object.fromEntries(Object.entries(service.labels).filter(([name]) => name.startsWith(LABEL_PREFIX))),
  };
  routed.set(service, made);
  return made;
}

/** What the route set asks for, by itself. */
export function intentsOf(routes: RouteSet): readonly RoutingIntent[] {
  return routes.services.flatMap((service) => intentOf(service, service.id) ?? []);
}

/**
 * What the route set asks for, of the services that have these names now: one that was made anew under its old name is meant. Those that
 * are gone keep their routes.
 */
export function pinnedIntents(routes: RouteSet, services: readonly Service[]): readonly RoutingIntent[] {
  const ids = new Map(services.map(({ name, id }) => [name, id]));
  return routes.services.flatMap((service) => intentOf(service, ids.get(service.name) ?? service.id) ?? []);
}

/** The same object as long as the service keeps its id, so that what was built from it is not built again. */
const intents = new WeakMap<RoutedService, RoutingIntent>();

/** `undefined`: this version of ours cannot use the labels. */
function intentOf(service: RoutedService, id: string): RoutingIntent | undefined {
  const known = intents.get(service);
  if (known?.service.id === id) {
    return known;
  }
  const { name, createdAt, stack, labels } = service;
  const outcome = parseLabels(absentService({ id, name, createdAt }, labels));
  if (outcome.kind !== 'intent') {
    return undefined;
  }
  const intent = { ...outcome.intent, pinned: { stack } };
  intents.set(service, intent);
  return intent;
}

/** JSON of a route set; the same text for the same set. */
export function routesText({ services }: RouteSet): string {
  return JSON.stringify({
    services: services.map(({ name, id, createdAt, stack, labels }) => ({
      name,
      id,
      createdAt,
      ...(stack === undefined ? {} : { stack }),
      labels,
    })),
  });
}

const ROUTES = z.object({
  services: z.array(
    z.object({
      name: z.string(),
      id: z.string(),
      createdAt: z.string(),
      stack: z.string().optional(),
      labels: z.record(z.string(), z.string()),
    }),
  ),
});

/** `undefined` for text that is no route set. Keys that we do not know are left out. */
export function parseRoutes(text: string): RouteSet | undefined {
  const parsed = ROUTES.safeParse(parseJson(text));
  if (!parsed.success) {
    return undefined;
  }
  const services = parsed.data.services.map((service) => ({ ...service, stack: service.stack }));
  return { services: services.sort((a, b) => compareText(a.name, b.name)) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // no JSON is no route set either
  }
}
