/**
 * What travels between the daemons, in our own words. Comes in: nothing. Goes out: the types of every call, free of protobuf and gRPC.
 * `proto/interlock.proto` says the same on the wire; the codecs beside this file translate.
 */
import type { Manifest, Piece } from '../model/artifact.ts';
import type { ClusterModel } from '../model/cluster.ts';
import type { Finding } from '../model/finding.ts';
import type { IpAddress, Port } from '../model/names.ts';
import type { ModelPatch } from '../model/patch.ts';
import type { Revision } from '../model/revision.ts';

/** A revision and the life of core it belongs to: sequences of different epochs cannot be compared. */
export type RevisionRef = Revision & { readonly epoch: string };

/** One message of the model stream. The first is the newest state; a patch names the digest it builds on. */
export interface ModelMessage {
  readonly revision: RevisionRef;
  readonly content: ModelContent;
}

export type ModelContent =
  | { readonly kind: 'full'; readonly model: ClusterModel }
  | { readonly kind: 'patch'; readonly baseDigest: string; readonly patch: ModelPatch };

/** The bytes of a file or of a piece under their own SHA-256 (64 hex digits). */
export type BlobContent = Piece;

/** The files rendered from one revision. `blobs` holds those of the manifest's blobs and pieces that are sent along; any order. */
export interface Submission {
  readonly revision: RevisionRef;
  readonly manifest: Manifest;
  readonly blobs: readonly BlobContent[];
  readonly findings: readonly Finding[];
  /**
   * Only the part that changed was checked: fit for agents, which keep their last good file when NGINX refuses this one, not for a
   * Docker Config. The same revision comes again without this, or with other files, when the whole was checked.
   */
  readonly checkPending?: boolean;
}

export type SubmitOutcome =
  /** Core holds the whole artifact. `awaitsCheck`: and does nothing with it before the whole was checked. */
  | { readonly kind: 'accepted'; readonly awaitsCheck?: true }
  /** Core lacks these blobs or pieces: submit again with them. At least one. */
  | { readonly kind: 'missing'; readonly blobs: readonly string[] }
  /** The revision is not core's newest any more. */
  | { readonly kind: 'superseded' };

/** A revision that could not be rendered or failed its check. */
export interface Refusal {
  readonly revision: RevisionRef;
  /** The proxy's own words; cut to 4 KiB of UTF-8 before they travel. */
  readonly reason: string;
  readonly findings: readonly Finding[];
}

/** What an agent opens its session with. */
export interface AgentHello {
  /** Swarm's id of the proxy task, 1 to 128 of `[A-Za-z0-9._-]`. */
  readonly taskId: string;
  /** `''`: not known. */
  readonly nodeId: string;
  /** NGINX's version, e.g. `1.30.6`; `''`: not known. */
  readonly proxyVersion: string;
  /** The artifact its NGINX serves, 64 hex digits; `undefined`: none yet. */
  readonly artifactDigest: string | undefined;
}

/** What an agent says about an artifact. `findings` is all it has to say at this time. */
export interface AgentReport {
  /** `undefined` only for an agent that drains and never served an artifact it knows. */
  readonly artifactDigest: string | undefined;
  readonly outcome: AgentOutcome;
  /** From the directive to the outcome; 0 when nothing was done for it. */
  readonly durationMs: number;
  readonly findings: readonly Finding[];
}

export type AgentOutcome =
  /** It serves the artifact, and old workers accept no more. */
  | { readonly kind: 'applied' }
  /** It keeps what it had. The proxy's own words; cut to 4 KiB of UTF-8 before they travel. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** It accepts no more connections and will end. */
  | { readonly kind: 'draining' };

export interface SocketAddress {
  readonly address: IpAddress;
  readonly port: Port;
}

/** Endpoints that NGINX could not connect to of late, each once, at most `MAX_UNREACHED`: a reason to look again, and nothing more. */
export interface UnreachedReport {
  readonly unreached: readonly SocketAddress[];
}

/** All that an agent says after its hello. */
export type AgentWord = AgentReport | UnreachedReport;

/** What core tells an agent. */
export type AgentDirective = AgentOrder & {
  /** This core takes `UnreachedReport`s in this session; an older one would end it. */
  readonly takesUnreached?: boolean;
};

type AgentOrder =
  /** Serve this. */
  | {
      readonly kind: 'serve';
      readonly revision: RevisionRef;
      readonly manifest: Manifest;
      /** Some of its pieces or none, at most `MAX_ALONG_BYTES`: they need not be fetched. */
      readonly along: readonly BlobContent[];
    }
  /** Nothing: serve the file that is mounted. */
  | { readonly kind: 'none' };

export type CallerRole = 'extension' | 'proxy' | 'operator';

/** Who calls, from the call's metadata. */
export interface Caller {
  readonly role: CallerRole;
  /** The `[Extensions.<name>]` table it serves; always present for the roles `extension` and `proxy`. */
  readonly extension: string | undefined;
  /** A secret: never logged. */
  readonly token: string | undefined;
  /** For status only; `''` when the caller does not say. */
  readonly version: string;
}

/** Who we are, as the client says it. */
export interface CallerIdentity {
  readonly role: CallerRole;
  readonly extension?: string | undefined;
  readonly token?: string | undefined;
  readonly version: string;
}

/**
 * What core answers with. A handler refuses by throwing: `refusal(reason, message)` of wire/errors.ts, or an OperationalError
 * (retryable ones tell the caller to come back). Anything else is a bug: it is logged, and the caller learns only that it happened.
 * `signal` aborts when the caller goes away, at its deadline, and when the server stops.
 */
export interface WireHandlers {
  /**
   * The newest state at once, then each newer one. `have` is the revision the caller still holds: a patch on it may come instead of
   * the full state. The iterable is asked for the next message only when the caller has taken the last one.
   */
  watchModel(caller: Caller, have: RevisionRef | undefined, signal: AbortSignal): AsyncIterable<ModelMessage>;
  submitArtifact(caller: Caller, submission: Submission, signal: AbortSignal): Promise<SubmitOutcome>;
  refuseRevision(caller: Caller, refusal: Refusal, signal: AbortSignal): Promise<void>;
  /**
   * One agent's session: `hello` is its first message, `words` what it says then, directives go out. The session is over when either
   * side ends. The iterable is asked for the next directive only when the agent has taken the last one.
   */
  agentSession(
    caller: Caller,
    hello: AgentHello,
    words: AsyncIterable<AgentWord>,
    signal: AbortSignal,
  ): AsyncIterable<AgentDirective>;
  /** In the order asked for. Refuses (`not-found`) when core holds one of them no more. */
  fetchBlobs(caller: Caller, digests: readonly string[], signal: AbortSignal): Promise<readonly BlobContent[]>;
}
