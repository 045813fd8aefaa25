/**
 * From what proxies of one cluster could not reach to the services that are looked at. The addresses count only where the cluster's own
 * model has them: a proxy can make core look at what it routes to, and at nothing else. Whatever comes, the model is asked four times a
 * second at most.
 */
import type { ClusterModel } from '../../model/cluster.ts';
import { createTrigger, type ReadableCell } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { SocketAddress } from '../../wire/contract.ts';

export interface Unreached {
  note(addresses: readonly SocketAddress[]): void;
  readonly component: Component;
}

export interface UnreachedParts {
  readonly name: string;
  readonly model: ReadableCell<{ readonly model: ClusterModel }>;
  /** Has these services looked at. */
  readonly lookAt: (serviceNames: readonly string[]) => void;
  readonly clock: Pick<Clock, 'sleep'>;
}

const EVERY_MS = 250;
/** Of all proxies of the cluster together, between two looks at the model. */
const MAX_WAITING = 1_000;

export function createUnreached({ name, model, lookAt, clock }: UnreachedParts): Unreached {
  const waiting = new Set<string>();
  const noted = createTrigger();
  return {
    note(addresses) {
      for (const address of addresses) {
        if (waiting.size < MAX_WAITING) {
          waiting.add(keyOf(address));
        }
      }
      noted.fire();
    },
    component: {
      name: `serve.unreached.${name}`,
      async run(signal) {
        for (;;) {
          await noted.wait(signal);
          const keys = [...waiting];
          waiting.clear();
          const known = model.get()?.model;
          const names = known === undefined ? [] : servicesAt(known, keys);
          if (names.length > 0) {
            lookAt(names);
          }
          await clock.sleep(EVERY_MS, signal);
        }
      },
    },
  };
}

/** Names of the services that share a pool with one of these endpoints. */
function servicesAt(model: ClusterModel, keys: readonly string[]): readonly string[] {
  const index = indexOf(model);
  return [...new Set(keys.flatMap((key) => index.get(key) ?? []))];
}

type Index = ReadonlyMap<string, readonly string[]>;

/** Made when somebody asks, once per model. */
const indexes = new WeakMap<ClusterModel, Index>();

function indexOf(model: ClusterModel): Index {
  const known = indexes.get(model);
  if (known !== undefined) {
    return known;
  }
  const index = new Map<string, readonly string[]>();
  for (const { endpoints, services } of model.pools) {
    for (const endpoint of endpoints) {
      const key = keyOf(endpoint);
      const others = index.get(key);
      index.set(key, others === undefined || others === services ? services : [...new Set([...others, ...services])]);
    }
  }
  indexes.set(model, index);
  return index;
}

/** NGINX and Docker may spell an IPv6 address in two ways. */
function keyOf({ address, port }: { readonly address: string; readonly port: number }): string {
  return `${address.includes(':') ? new URL(`http://[${address}]/`).hostname : address} ${port}`;
}
