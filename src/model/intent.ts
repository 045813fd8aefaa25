/** What one service's `com.docker.lb.*` labels ask for, after parsing and before anything is looked up in the Snapshot. */
import type { CookieName, Hostname, PathPrefix, Port, SecretName } from './names.ts';

export interface RoutingIntent {
  readonly service: ServiceRef;
  /** `''` is the default cluster. */
  readonly serviceCluster: string;
  /** Sorted, without repeats. Empty only for a default backend. */
  readonly hosts: readonly Hostname[];
  readonly defaultBackend: boolean;
  /** `undefined`: the only published target port, if there is exactly one. */
  readonly port: Port | undefined;
  readonly network: NetworkChoice;
  readonly backendMode: BackendMode;
  /** 1 to 100, default 1. */
  readonly weight: number;
  readonly contextRoot: ContextRoot;
  readonly tls: TlsIntent;
  readonly balance: Balance;
  readonly upstreamTls: UpstreamTls;
  readonly failure: FailurePolicy;
  readonly websocketEndpoints: readonly PathPrefix[];
  readonly redirects: readonly Redirect[];
  /** Set on intents of a pinned revision: their routes stay when the service is gone or cannot be reached, and answer 503. */
  readonly pinned?: PinnedFrom;
}

export interface PinnedFrom {
  /** The stack that the service had then. */
  readonly stack: string | undefined;
}

/** Who asked. `createdAt`, then `id`, decides between services that disagree: the oldest wins. */
export interface ServiceRef {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
}

export type NetworkChoice =
  | { readonly kind: 'auto' }
  | { readonly kind: 'named'; readonly name: string }
  /** The word `bridge`: node address and published host port. */
  | { readonly kind: 'bridge' };

export type BackendMode = 'task' | 'vip';

export interface ContextRoot {
  readonly prefix: PathPrefix;
  /** Cut the prefix before the request goes to the service. */
  readonly rewrite: boolean;
}

export type TlsIntent =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'terminate';
      readonly certificate: SecretName;
      /** `undefined`: the certificate's file holds the key too. */
      readonly key: SecretName | undefined;
      /** Answer plain HTTP with 308 to https. */
      readonly only: boolean;
    }
  | { readonly kind: 'passthrough' };

export type Balance =
  | { readonly kind: 'round-robin' }
  | { readonly kind: 'cookie'; readonly cookie: CookieName }
  | { readonly kind: 'client-address' };

export type UpstreamTls = { readonly kind: 'off' } | { readonly kind: 'on'; readonly verify: UpstreamVerify };

export type UpstreamVerify =
  | { readonly kind: 'none' }
  | { readonly kind: 'required'; readonly ca: SecretName | undefined };

export interface FailurePolicy {
  readonly maxFails: number;
  readonly failTimeoutSeconds: number;
}

/** `max_fails=3 fail_timeout=10s`: one lost connection must not take a healthy replica out. */
export const DEFAULT_FAILURE_POLICY: FailurePolicy = { maxFails: 3, failTimeoutSeconds: 10 };

/** 302 from every URL of `source` to the same request URI at `target`. */
export interface Redirect {
  readonly source: Origin;
  readonly target: Origin;
}

export interface Origin {
  readonly scheme: 'http' | 'https';
  readonly host: Hostname;
  readonly port: Port | undefined;
}
