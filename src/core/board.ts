/**
 * What core knows of each extension right now, shared by its rooms: written by one room each, read by all.
 *
 *   routes  -> pin        what operators hold the cluster's routes at
 *   revise  -> routes     what the labels ask for
 *   revise  -> model      the newest revision of the cluster's model
 *   serve   -> rendered   what the extension made of it
 *   serve   -> confirmed  the newest of that whose whole was checked
 *   publish -> published  what the proxies were told to serve
 *   publish -> delivery   how they are told, and what is still pending
 *   serve   -> agents     the agents that are connected, and what they say
 *   access  -> tokens     the role tokens that both services carry
 */
import type { ConfigArtifact } from '../model/artifact.ts';
import type { Requirements } from '../model/cluster.ts';
import type { Finding } from '../model/finding.ts';
import type { RevisedModel, Revision } from '../model/revision.ts';
import type { RouteSet } from '../model/routes.ts';
import { type Cell, createCell } from '../runtime/cell.ts';
import type { ExtensionSettings } from '../settings/core-settings.ts';

export interface Rendered {
  readonly revision: Revision;
  readonly artifact: ConfigArtifact;
  readonly requirements: Requirements;
  /** Counts the revisions so far that lost an endpoint; missing: unknown, and then nothing may be held back. */
  readonly losses?: number;
  /** Only what changed was checked: for agents, which keep what they have when NGINX refuses it, not for a Docker Config. */
  readonly checkPending?: boolean;
  /** When core first got the artifact, in ms since the epoch. */
  readonly atMs?: number | undefined;
}

export interface Refused {
  readonly revision: Revision;
  readonly reason: string;
}

/** The last artifact that all proxies were told to serve: by directive in hitless mode, by the service's spec in classic mode. */
export interface Published {
  readonly artifactDigest: string;
  /** The Docker Config that the proxy service's spec mounts; in hitless mode it may be older than the artifact. */
  readonly configName: string;
}

/** The id of a Docker object that a spec refers to, with its name: Swarm asks for both. */
export interface Reference {
  readonly id: string;
  readonly name: string;
}

/** One proxy task's agent while its session is open. */
export interface AgentSession {
  readonly taskId: string;
  readonly nodeId: string;
  /** What its NGINX serves, by its last report; `undefined` before the first one. */
  readonly artifactDigest: string | undefined;
  /** When that report came, in ms since the epoch. */
  readonly appliedAtMs?: number | undefined;
  /** The last artifact that it would not serve, unless it has applied another one since. */
  readonly refused?: { readonly artifactDigest: string; readonly reason: string } | undefined;
  readonly connectedAtMs: number;
}

/** A new object at each change, in no particular order, at most one session per task. */
export interface AgentsState {
  readonly sessions: readonly AgentSession[];
}

/** The Docker secrets that carry each role's token. */
export interface TokenReferences {
  readonly extension: Reference;
  readonly proxy: Reference;
}

/** How publish gets a configuration to the proxies right now. */
export interface DeliveryState {
  /** `hitless`: by directive to the agents, the service rolls for other reasons only. `classic`: by rolling the service. */
  readonly mode: 'hitless' | 'classic';
  /** Asked for hitless, served in classic mode: why. */
  readonly fallback: string | undefined;
  /** Names of what the proxies need and do not have until the next roll is done. */
  readonly pending: { readonly networks: readonly string[]; readonly secrets: readonly string[] };
  /** Swarm is updating or rolling back the proxy service. */
  readonly rolling: boolean;
  /** The newest Docker Config that was stored. */
  readonly storedConfigName: string | undefined;
}

/** A cluster's routes are held at a stored revision until somebody lets go. */
export interface Pin {
  /** The Docker Config that says so. */
  readonly configId: string;
  /** Its number in history. */
  readonly revision: number;
  /** Of the routes; 64 hex digits. */
  readonly digest: string;
  /** In ms since the epoch. */
  readonly sinceMs: number;
  readonly routes: RouteSet;
}

export interface ExtensionBoard {
  readonly settings: ExtensionSettings;
  /** No model is made before this is set. `null`: the labels hold. */
  readonly pin: Cell<Pin | null>;
  /** Works out what the labels ask for, pinned or not; another function each time that services changed. */
  readonly routes: Cell<() => RouteSet>;
  readonly model: Cell<RevisedModel>;
  readonly rendered: Cell<Rendered>;
  /** Never with `checkPending`; older than `rendered` while changes come faster than a whole file can be checked. */
  readonly confirmed: Cell<Rendered>;
  readonly refused: Cell<Refused | null>;
  readonly published: Cell<Published>;
  readonly delivery: Cell<DeliveryState>;
  /** Empty until serve takes sessions at all: until then everything is delivered in classic mode. */
  readonly agents: Cell<AgentsState>;
  /** Publish writes no service before this is set. `null`: this core makes no tokens, services go without. */
  readonly tokens: Cell<TokenReferences | null>;
}

/** Where a finding comes from: a new set from one source replaces that source's old one. */
export type FindingSource =
  | 'settings'
  | 'feed'
  | 'routing'
  | 'pins'
  | `extension ${string}`
  | `agents ${string}`
  | `publish ${string}`;

export interface Board {
  readonly extensions: ReadonlyMap<string, ExtensionBoard>;
  setFindings(source: FindingSource, findings: readonly Finding[]): void;
  /** Each once: core and the extension both read a table's `Config`, and say the same of it. */
  findings(): readonly Finding[];
}

/** `onNew` and `onGone` hear of each finding once per change, however many sources say it. */
export interface FindingListener {
  onNew(finding: Finding): void;
  onGone(finding: Finding): void;
}

export function createBoard(
  extensions: readonly ExtensionSettings[],
  keyOf: (finding: Finding) => string,
  listener: FindingListener,
): Board {
  const bySource = new Map<FindingSource, ReadonlyMap<string, Finding>>();
  return {
    extensions: new Map(extensions.map((settings) => [settings.name, createExtensionBoard(settings)])),
    setFindings(source, findings) {
      const before = bySource.get(source) ?? new Map<string, Finding>();
      const after = new Map(findings.map((finding) => [keyOf(finding), finding]));
      bySource.set(source, after);
      const isSaidElsewhere = (key: string): boolean =>
        [...bySource].some(([other, known]) => other !== source && known.has(key));
      for (const [key, finding] of after) {
        if (!before.has(key) && !isSaidElsewhere(key)) {
          listener.onNew(finding);
        }
      }
      for (const [key, finding] of before) {
        if (!after.has(key) && !isSaidElsewhere(key)) {
          listener.onGone(finding);
        }
      }
    },
    findings: () => [...new Map([...bySource.values()].flatMap((known) => [...known])).values()],
  };
}

function createExtensionBoard(settings: ExtensionSettings): ExtensionBoard {
  return {
    settings,
    pin: createCell(),
    routes: createCell(),
    model: createCell(),
    rendered: createCell(),
    confirmed: createCell(),
    refused: createCell<Refused | null>(null),
    published: createCell(),
    delivery: createCell(),
    agents: createCell(),
    tokens: createCell(),
  };
}
