/** What operators are told of a cluster's stored routes, and what they ask for. `revisions-codec.ts` translates. Times are ms since the epoch. */
import type { ClusterModel } from '../model/cluster.ts';
import type { RouteChange } from '../model/routes.ts';

/** A service cluster, or the name of its extension; `''`: the default cluster. */
export type ClusterName = string;

export interface RevisionsRequest {
  /** `undefined`: all of them. */
  readonly cluster: ClusterName | undefined;
}

export interface RevisionsReport {
  /** In the order of config.toml. */
  readonly clusters: readonly ClusterHistory[];
}

export interface ClusterRef {
  readonly extension: string;
  readonly serviceCluster: string;
}

export interface ClusterHistory extends ClusterRef {
  /** Newest first. */
  readonly revisions: readonly RouteRevision[];
  readonly pin: PinView | undefined;
}

export interface RouteRevision {
  /** 0: what the labels ask for now, and not stored yet. */
  readonly number: number;
  /** 64 hex digits. */
  readonly digest: string;
  readonly atMs: number;
  /** Services, against the revision before. */
  readonly added: NameList;
  readonly changed: NameList;
  readonly removed: NameList;
  /** What the proxies are given. */
  readonly served: boolean;
  /** What the labels ask for now. */
  readonly live: boolean;
}

/** How many, and the first few. */
export interface NameList {
  readonly count: number;
  readonly names: readonly string[];
}

export interface PinView {
  readonly revision: number;
  readonly digest: string;
  readonly sinceMs: number;
}

export interface CompareRequest {
  /** `undefined`: the only one. */
  readonly cluster: ClusterName | undefined;
  /** A number, the beginning of a digest, `live`, `served` or `previous`. */
  readonly before: string;
  readonly after: string;
  readonly models: boolean;
}

export interface CompareReport extends ClusterRef {
  readonly before: RouteRevision;
  readonly after: RouteRevision;
  readonly changes: readonly RouteChange[];
  /** With the endpoints of now, where they were asked for. */
  readonly models: { readonly before: ClusterModel; readonly after: ClusterModel } | undefined;
}

export interface RollbackRequest {
  readonly cluster: ClusterName | undefined;
  readonly revision: string;
  readonly dryRun: boolean;
}

export interface RollbackReport extends ClusterRef {
  /** `unchanged`: it is what is served already. */
  readonly outcome: 'pinned' | 'would-pin' | 'unchanged';
  readonly revision: RouteRevision;
  /** From what was served to the revision. */
  readonly changes: readonly RouteChange[];
}

export interface UnpinRequest {
  readonly cluster: ClusterName | undefined;
}

export interface UnpinReport extends ClusterRef {
  /** `undefined`: nothing was pinned. */
  readonly was: PinView | undefined;
  /** From what was pinned to what the labels ask for. */
  readonly changes: readonly RouteChange[];
}

export interface RotateRequest {
  /** `''`: of all extensions. */
  readonly extension: string;
  /** `''`: both. */
  readonly role: '' | TokenRole;
  /** Only tell how it goes. */
  readonly look: boolean;
}

export interface RotateReport {
  readonly tokens: readonly TokenState[];
}

export type TokenRole = 'extension' | 'proxy';

export interface TokenState {
  readonly extension: string;
  readonly role: TokenRole;
  /** `making`: the new one is not there yet; `rolling`: older ones are still in use; `done`: one token, and no other. */
  readonly state: 'making' | 'rolling' | 'done';
  /** The Docker secret of the newest one; `''`: none yet. */
  readonly secret: string;
  /** Older ones that are still accepted. */
  readonly older: readonly string[];
  /** This call found a rotation under way and began no other. */
  readonly joined: boolean;
}
