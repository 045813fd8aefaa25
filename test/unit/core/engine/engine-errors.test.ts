import { describe, expect, it } from 'vitest';
import { readAnswer, refusal, unreachable } from '../../../../src/core/engine/engine-errors.ts';
import { chooseVersion } from '../../../../src/core/engine/engine-http.ts';
import { parseService } from '../../../../src/snapshot/service.ts';

const ASKED = { method: 'POST', path: '/services/x/update' };

describe('refusal', () => {
  it.each([
    [500, 'rpc error: code = Unknown desc = update out of sequence', 'ENGINE.OUT_OF_SEQUENCE'],
    [400, 'update out of sequence', 'ENGINE.OUT_OF_SEQUENCE'],
    [503, 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" …', 'ENGINE.NOT_A_MANAGER'],
    [
      503,
      "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state.",
      'ENGINE.NOT_A_MANAGER',
    ],
    [503, 'Swarm is encrypted and needs to be unlocked before it can be used.', 'ENGINE.NOT_A_MANAGER'],
    [503, 'service unavailable', 'ENGINE.FAILED'],
    [
      409,
      'rpc error: code = AlreadyExists desc = name conflicts with an existing object: service web already exists',
      'ENGINE.NAME_TAKEN',
    ],
    [409, 'rpc error: code = AlreadyExists desc = config c1 already exists', 'ENGINE.NAME_TAKEN'],
    [409, 'network with name app already exists', 'ENGINE.NAME_TAKEN'],
    [409, '', 'ENGINE.NAME_TAKEN'],
    [404, 'service nope not found', 'ENGINE.NOT_FOUND'],
    [404, 'No such container: abc', 'ENGINE.NOT_FOUND'],
    [500, 'network zzz not found', 'ENGINE.NOT_FOUND'],
    [400, 'rpc error: code = InvalidArgument desc = config not found: abc', 'ENGINE.NOT_FOUND'],
    [
      400,
      "rpc error: code = InvalidArgument desc = config 'c1' is in use by the following service: web",
      'ENGINE.IN_USE',
    ],
    [400, 'rpc error: code = FailedPrecondition desc = network n1 is in use by service s1', 'ENGINE.IN_USE'],
    [400, 'rpc error: code = InvalidArgument desc = ContainerSpec: image reference must be provided', 'ENGINE.REFUSED'],
    [400, 'invalid JSON: invalid character', 'ENGINE.REFUSED'],
    [501, 'rpc error: code = Unimplemented desc = renaming services is not supported', 'ENGINE.REFUSED'],
    [500, 'rpc error: code = Unknown desc = constraint expected one operator from ==, !=', 'ENGINE.REFUSED'],
    [500, 'rpc error: code = DeadlineExceeded desc = context deadline exceeded', 'ENGINE.FAILED'],
    [500, 'rpc error: code = Unknown desc = The swarm does not have a leader.', 'ENGINE.FAILED'],
    [500, 'server error', 'ENGINE.FAILED'],
  ])('%i "%s" is %s', (status, words, code) => {
    const error = refusal(ASKED, status, words);

    expect(error.code).toBe(code);
    expect(error.message).toContain(words);
    expect(error.facts).toEqual({ ...ASKED, status });
  });
});

describe('unreachable', () => {
  it('keeps the cause', () => {
    const cause = new Error('connect ENOENT /run/docker.sock');

    expect(unreachable(ASKED, cause)).toMatchObject({ code: 'ENGINE.UNREACHABLE', cause });
  });
});

describe('readAnswer', () => {
  it('says which object is broken, and where', () => {
    const read = () => readAnswer(ASKED, parseService, { ID: 'abc', Version: { Index: 'x' } });

    expect(read).toThrow(
      expect.objectContaining({
        code: 'ENGINE.BROKEN_ANSWER',
        facts: expect.objectContaining({ object: 'service', id: 'abc', at: 'Version.Index' }) as unknown,
      }),
    );
  });
});

describe('chooseVersion', () => {
  it.each([
    ['1.41', '1.12', '1.41'],
    ['1.51', '1.24', '1.51'],
    ['1.60', '1.44', '1.51'],
  ])('takes the newest both know: engine %s (from %s) -> %s', (newest, oldest, chosen) => {
    expect(chooseVersion({ newest, oldest })).toBe(chosen);
  });

  it.each([
    ['1.40', '1.12'],
    ['1.70', '1.52'],
  ])('refuses an engine of %s (from %s)', (newest, oldest) => {
    expect(() => chooseVersion({ newest, oldest })).toThrow(expect.objectContaining({ code: 'ENGINE.REFUSED' }));
  });
});
