/** From each Snapshot, and the pins of operators, to the newest revision of every cluster's model. A cluster whose content did not change keeps its revision. */

import { createRouter, type Pins, type RoutedModels } from '../labels/models.ts';
import type { BuiltModels } from '../model/build.ts';
import type { ClusterModel } from '../model/cluster.ts';
import type { Finding } from '../model/finding.ts';
import { digestModel } from '../model/revision.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { createTrigger, fireOnEach, type ReadableCell, type Trigger } from '../runtime/cell.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/logging.ts';
import type { Component } from '../runtime/supervisor.ts';
import { definitionOf } from '../settings/cluster-definition.ts';
import type { Board, ExtensionBoard } from './board.ts';
import { waitAtMost } from './wait-at-most.ts';
import { createYoungFindings, type YoungFindings } from './young-findings.ts';

export function createReviser(
  snapshots: ReadableCell<Snapshot>,
  board: Board,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): Component {
  return {
    name: 'revise',
    async run(signal) {
      const look = createTrigger();
      const scope = new AbortController();
      const either = AbortSignal.any([signal, scope.signal]);
      const cells: readonly ReadableCell<unknown>[] = [
        snapshots,
        ...[...board.extensions.values()].map(({ pin }) => pin),
      ];
      const firing = cells.map((cell) => fireOnEach(cell, look, either));
      try {
        await Promise.race([...firing, reviseForEver({ snapshots, board, look, clock, logger }, either)]);
      } finally {
        scope.abort();
        await Promise.allSettled(firing);
      }
    },
  };
}

interface Desk {
  readonly snapshots: ReadableCell<Snapshot>;
  readonly board: Board;
  readonly look: Trigger;
  readonly clock: Clock;
  readonly logger: Logger;
}

async function reviseForEver({ snapshots, board, look, clock, logger }: Desk, signal: AbortSignal): Promise<void> {
  let sequence = 0;
  let offered: RoutedModels['routesOf'] | undefined;
  const hops = createHopMemory();
  const extensions = [...board.extensions.values()];
  const router = createRouter(extensions.map(({ settings }) => definitionOf(settings)));
  const young = createYoungFindings(clock);
  let known: readonly Finding[] = [];
  for (;;) {
    const dueInMs = tellOf(known, young, board);
    // Whichever comes first: what both tell is looked at anew.
    await (dueInMs === undefined ? look.wait(signal) : waitAtMost(dueInMs, look, clock, signal));
    const [snapshot, pins] = [snapshots.get(), pinsOf(extensions)];
    if (snapshot === undefined || pins === undefined) {
      continue;
    }
    sequence += 1;
    const { built, findings, routesOf } = router.update(snapshot, pins);
    known = findings;
    const order = { sequence, versionIndex: snapshot.versionIndex };
    built.models.forEach((model, position) => {
      const extension = extensions[position];
      if (extension) {
        if (offered !== routesOf) {
          extension.routes.set(() => routesOf(extension.settings.serviceCluster));
        }
        publishRevision(extension, hops.keep(model), order, logger);
      }
    });
    offered = routesOf;
  }
}

/** Returns when to tell of the same ones again, in ms; `undefined`: when others come. */
function tellOf(findings: readonly Finding[], young: YoungFindings, board: Board): number | undefined {
  const { told, dueInMs } = young.look(findings);
  board.setFindings('routing', told);
  return dueInMs;
}

/** `undefined` until they have been read for every cluster. */
function pinsOf(extensions: readonly ExtensionBoard[]): Pins | undefined {
  const read = extensions.map(({ settings, pin }) => ({ cluster: settings.serviceCluster, pin: pin.get() }));
  return read.some(({ pin }) => pin === undefined)
    ? undefined
    : new Map(read.flatMap(({ cluster, pin }) => (pin ? [[cluster, pin.routes] as const] : [])));
}

/** Clusters whose TLS port has gone through the hop since core started keep it: taking it away resets connections, adding it does not. */
export function createHopMemory(): { keep(model: ClusterModel): ClusterModel } {
  const taken = new Set<string>();
  return {
    keep(model) {
      const { extension, tlsHop } = model.header;
      if (tlsHop) {
        taken.add(extension);
      }
      return tlsHop || !taken.has(extension) ? model : { ...model, header: { ...model.header, tlsHop: true } };
    },
  };
}

function publishRevision(
  { model: cell, settings }: ExtensionBoard,
  model: BuiltModels['models'][number],
  order: { readonly sequence: number; readonly versionIndex: number },
  logger: Logger,
): void {
  const digest = digestModel(model);
  if (cell.get()?.revision.digest === digest) {
    return;
  }
  cell.set({ revision: { digest, ...order }, model });
  logger.info(
    {
      serviceCluster: settings.serviceCluster,
      extension: settings.name,
      revision: digest.slice(0, 12),
      hosts: model.hosts.length,
      endpoints: model.pools.reduce((sum, pool) => sum + pool.endpoints.length, 0),
    },
    'model revised',
  );
}
