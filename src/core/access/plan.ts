/**
 * Which token secrets there are, which are missing, and which have had their day. Pure: what Swarm lists goes in.
 *
 * Of each extension and role the highest generation is current: services are given that one. Two cores that make the next generation
 * at once ask for the same name, and Swarm gives it to one of them.
 */
import type { Secret } from '../../model/snapshot.ts';
import { hasIdentity, type Identity, isOfHome, mayBeOfHome } from '../publish/home-labels.ts';
import { generationOf, TOKEN_LABELS, TOKEN_ROLES, TOKEN_TYPE, type TokenRole, tokenSecretName } from './names.ts';

/** One role of one `[Extensions.<name>]` table. */
export interface Holder {
  readonly extension: string;
  readonly role: TokenRole;
}

/** A secret whose token is accepted. */
export interface TokenSecret extends Holder {
  readonly id: string;
  readonly name: string;
  readonly generation: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

export interface NewToken extends Holder {
  readonly name: string;
}

export interface TokenPlan {
  /** Every token that opens the door, at most one of each generation. */
  readonly accepted: readonly TokenSecret[];
  /** The newest of each holder; a holder that has none is in `missing`. */
  readonly current: readonly TokenSecret[];
  readonly missing: readonly NewToken[];
  /** Secrets of ours that no service is to be given any more: to be removed once nobody uses them. */
  readonly leftovers: readonly Secret[];
}

/** A holder whose current token, if it is no newer than this generation, is to be replaced. */
export interface Rotation extends Holder {
  readonly above: number;
}

export interface TokenWishes {
  /** Names of the tables in config.toml. */
  readonly extensions: readonly string[];
  /** Another Interlock's tokens open nothing here, whatever its tables are named, and are not ours to remove. */
  readonly home: Identity;
  readonly rotations: readonly Rotation[];
}

export function planTokens(secrets: readonly Secret[], { extensions, home, rotations }: TokenWishes): TokenPlan {
  const holders = extensions.flatMap((extension) => TOKEN_ROLES.map((role): Holder => ({ extension, role })));
  const ours = secrets.filter(({ labels }) => labels[TOKEN_LABELS.type] === TOKEN_TYPE && mayBeOfHome(labels, home));
  const accepted = ours.flatMap((secret) => tokenSecretOf(secret, holders) ?? []);
  const current = holders.flatMap((holder) => newest(accepted.filter((token) => isHeldBy(token, holder))) ?? []);
  const outdated = rotations.filter(({ above, ...holder }) =>
    current.some((token) => isHeldBy(token, holder) && token.generation <= above),
  );
  const without = holders.filter(
    (holder) =>
      outdated.some((rotation) => isHeldBy(rotation, holder)) || !current.some((token) => isHeldBy(token, holder)),
  );
  const currentIds = new Set(current.map(({ id }) => id));
  return {
    accepted,
    current,
    missing: without.map((holder) => ({ ...holder, name: nextName(secrets, holder) })),
    leftovers: ours.filter((secret) => !currentIds.has(secret.id) && mayRemove(secret, extensions, home)),
  };
}

function isHeldBy(one: Holder, other: Holder): boolean {
  return one.extension === other.extension && one.role === other.role;
}

/** `undefined` for what is no token secret of these holders, and for one whose labels were damaged. */
function tokenSecretOf({ id, name, labels }: Secret, holders: readonly Holder[]): TokenSecret | undefined {
  const sha256 = labels[TOKEN_LABELS.sha256] ?? '';
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    return undefined;
  }
  const holder = holders.find(
    ({ extension, role }) => labels[TOKEN_LABELS.extension] === extension && labels[TOKEN_LABELS.role] === role,
  );
  const generation = holder && generationOf(name, holder.extension, holder.role);
  return holder && generation !== undefined ? { ...holder, id, name, generation, sha256 } : undefined;
}

function newest(tokens: readonly TokenSecret[]): TokenSecret | undefined {
  return tokens.reduce<TokenSecret | undefined>(
    (best, token) => (best === undefined || token.generation > best.generation ? token : best),
    undefined,
  );
}

/** Above every name that is taken, whatever the labels of who took it say. */
function nextName(secrets: readonly Secret[], { extension, role }: Holder): string {
  const taken = secrets.map(({ name }) => generationOf(name, extension, role) ?? 0);
  return tokenSecretName(extension, role, taken.reduce((highest, generation) => Math.max(highest, generation), 0) + 1);
}

/** One that another core outside of any stack may have made goes only where it was made for a table of ours. */
function mayRemove({ labels }: Secret, extensions: readonly string[], home: Identity): boolean {
  return (hasIdentity(home) && isOfHome(labels, home)) || extensions.includes(labels[TOKEN_LABELS.extension] ?? '');
}
