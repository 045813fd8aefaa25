/** Role tokens for people: begins a rotation, and tells how it goes. */
import { refusal } from '../../../wire/errors.ts';
import type { RotateReport, RotateRequest, TokenState } from '../../../wire/revisions.ts';
import type { Access } from '../../access/access.ts';
import { TOKEN_ROLES, type TokenRole } from '../../access/names.ts';
import type { Board } from '../../board.ts';

export interface TokenParts {
  readonly board: Pick<Board, 'extensions'>;
  readonly access: Pick<Access, 'rotate' | 'holding'>;
}

/** A rotation that is under way is joined: another one beside it would be one more roll, and lock nobody out any sooner. */
export function rotateTokens({ board, access }: TokenParts, { extension, role, look }: RotateRequest): RotateReport {
  const names = [...board.extensions.keys()].filter((name) => extension === '' || name === extension);
  if (names.length === 0) {
    throw refusal(
      'not-found',
      `config.toml has no [Extensions.${extension}]; it has ${[...board.extensions.keys()].join(', ')}`,
    );
  }
  const roles = TOKEN_ROLES.filter((one) => role === '' || one === role);
  const holders = names.flatMap((name) => roles.map((one) => ({ name, role: one })));
  const joined = holders.map((holder) => !look && begin(access, holder));
  return { tokens: holders.map((holder, at) => stateOf(access, holder, joined[at] === true)) };
}

interface Holder {
  readonly name: string;
  readonly role: TokenRole;
}

/** Returns whether there was one under way. */
function begin(access: TokenParts['access'], { name, role }: Holder): boolean {
  const { isMaking, older } = access.holding(name, role);
  const isUnderWay = isMaking || older.length > 0;
  if (!isUnderWay) {
    access.rotate(name, role);
  }
  return isUnderWay;
}

function stateOf(access: TokenParts['access'], { name, role }: Holder, joined: boolean): TokenState {
  const { isMaking, current, older } = access.holding(name, role);
  const state = isMaking ? 'making' : older.length > 0 ? 'rolling' : 'done';
  return { extension: name, role, state, secret: current ?? '', older, joined };
}
