/** The names and labels of token secrets. What a secret is, its labels say; its generation, its name, which Swarm lets nobody take twice. */
import { slugOf } from '../../settings/slug.ts';

export const TOKEN_LABELS = {
  type: 'type',
  extension: 'com.docker.interlock.extension',
  role: 'com.docker.interlock.role',
  /** Hex SHA-256 of the token's text: all that core keeps of it. */
  sha256: 'com.docker.interlock.token-sha256',
} as const;

/** Value of the `type` label. */
export const TOKEN_TYPE = 'com.docker.interlock.core.token';

/** Who carries a token. Operators have none: they come through a unix socket. */
export const TOKEN_ROLES = ['extension', 'proxy'] as const;
export type TokenRole = (typeof TOKEN_ROLES)[number];

/** `com.docker.interlock.token.<slug>.<role>.<n>`: at most 27 + 16 + 11 + 9 = 63 of Swarm's 64 characters. */
export function tokenSecretName(extension: string, role: TokenRole, generation: number): string {
  return `com.docker.interlock.token.${slugOf(extension)}.${role}.${generation}`;
}

/** The generation in a name that `tokenSecretName` gave; `undefined` for every other name. */
export function generationOf(name: string, extension: string, role: TokenRole): number | undefined {
  const digits = /\.([1-9]\d{0,8})$/.exec(name)?.[1];
  const generation = Number(digits);
  return digits !== undefined && name === tokenSecretName(extension, role, generation) ? generation : undefined;
}
