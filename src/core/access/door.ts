/** Who is let in: compares what a caller shows with the hashes of the tokens. Holds no token and no other state than the newest hashes. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { OperationalError } from '../../runtime/errors.ts';
import type { Authenticate } from '../../wire/admission.ts';
import { refusal } from '../../wire/errors.ts';
import type { TokenSecret } from './plan.ts';

export interface TokenDoor {
  /** From now on these open the door, and no others. */
  accept(tokens: readonly TokenSecret[]): void;
  accepted(): readonly TokenSecret[];
  /**
   * Returns for a caller with a token of its own extension and role. Throws a refusal: `permission-denied` for somebody else's token,
   * `unauthenticated` for none or an unknown one; and WIRE.UNREACHABLE while no token is known at all.
   */
  readonly authenticate: Authenticate;
}

/**
 * `onUnknown` hears of each token that nobody knows: another core may have made it a moment ago. `operatorToken` lets operators in over
 * the network; without it they are not.
 */
export function createTokenDoor(onUnknown: () => void, operatorToken?: string): TokenDoor {
  const operator = operatorToken === undefined ? undefined : hashOf(operatorToken);
  let known: readonly Known[] | undefined;
  return {
    accept(tokens) {
      known = tokens.map((token) => ({ token, hash: Buffer.from(token.sha256, 'hex') }));
    },
    accepted: () => (known ?? []).map(({ token }) => token),
    authenticate(caller) {
      if (caller.role === 'operator') {
        admitOperator(operator, caller.token);
        return;
      }
      if (caller.token === undefined) {
        throw refusal('unauthenticated', `the role ${caller.role} shows its token in the metadata`);
      }
      if (known === undefined) {
        throw new OperationalError('WIRE.UNREACHABLE', 'core does not know its tokens yet');
      }
      const found = owners(known, caller.token);
      if (found.some(({ extension, role }) => extension === caller.extension && role === caller.role)) {
        return;
      }
      if (found.length > 0) {
        throw refusal('permission-denied', `the token is not that of the ${caller.role} of this extension`);
      }
      onUnknown();
      throw refusal('unauthenticated', 'core does not know this token');
    },
  };
}

function admitOperator(operator: Buffer | undefined, token: string | undefined): void {
  if (operator === undefined) {
    const words =
      'operators come through the unix socket of core; over the network with OperatorTokenFile in [GRPC] only';
    throw refusal('unauthenticated', words);
  }
  if (token === undefined || !timingSafeEqual(operator, hashOf(token))) {
    throw refusal('unauthenticated', "this is not the operators' token");
  }
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

interface Known {
  readonly token: TokenSecret;
  readonly hash: Buffer;
}

/** Compares with every hash in the same time, whichever fits: a caller learns nothing from how long it takes. */
function owners(known: readonly Known[], text: string): readonly TokenSecret[] {
  const hash = hashOf(text);
  return known.filter((each) => timingSafeEqual(each.hash, hash)).map(({ token }) => token);
}
