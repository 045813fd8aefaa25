/** All that publishing one extension works with, and remembers while core lives. */
import type { Snapshot } from '../../model/snapshot.ts';
import type { ReadableCell } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Board, ExtensionBoard } from '../board.ts';
import type { EngineApi } from '../engine/engine-api.ts';
import { type AgentWatch, createAgentWatch } from './agent-watch.ts';
import type { Delivery, Home } from './desired.ts';
import type { Memory } from './memory.ts';
import { createRefusalWatch, type RefusalWatch } from './refusal-watch.ts';
import { createRollWatch, type RollWatch } from './roll-watch.ts';
import { createSettling, GATHER_PACE, type Settling, STORE_PACE } from './settling.ts';
import { createUnusedWatch, type UnusedWatch } from './unused-watch.ts';
import { createWorkerWatch, type WorkerWatch } from './worker-watch.ts';

export interface PublisherTools {
  readonly engine: EngineApi;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Publishing extends PublisherTools {
  readonly home: Home;
  readonly board: Board;
  readonly extension: ExtensionBoard;
  readonly snapshots: ReadableCell<Snapshot>;
  readonly patience: Patience;
  readonly memory: Memory;
  readonly watches: Watches;
}

/** How long what is no longer the newest, or no longer needed, may stay. */
export interface Patience {
  readonly networkLingerMs: number;
  /** `0`: for ever. */
  readonly proxyConfigRefreshMs: number;
}

export interface Watches {
  readonly agents: AgentWatch;
  readonly rolls: RollWatch;
  readonly refusals: RefusalWatch;
  /** Of artifacts that no Docker Config holds. */
  readonly store: Settling;
  /** Of networks and secrets that are pending. */
  readonly gather: Settling;
  readonly unused: UnusedWatch;
  readonly workers: WorkerWatch;
  readonly lastGood: LastGood;
}

/** The newest deliveries that were checked as a whole. */
export interface LastGood {
  /** The newest one but the artifact `refused`, which may have been taken for good before the agents said no; that one is forgotten. */
  get(refused?: string): Delivery | undefined;
  set(delivery: Delivery): void;
}

export function createWatches(engine: EngineApi, clock: Clock): Watches {
  let newest: Delivery | undefined;
  let before: Delivery | undefined;
  return {
    agents: createAgentWatch(clock),
    rolls: createRollWatch(engine, clock),
    refusals: createRefusalWatch(clock),
    store: createSettling(clock, STORE_PACE),
    gather: createSettling(clock, GATHER_PACE),
    unused: createUnusedWatch(clock),
    workers: createWorkerWatch(clock),
    lastGood: {
      get(refused) {
        newest = newest?.artifact.digest === refused ? before : newest;
        return newest;
      },
      set(delivery) {
        before = newest?.artifact.digest === delivery.artifact.digest ? before : newest;
        newest = delivery;
      },
    },
  };
}
