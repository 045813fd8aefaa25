import { describe, expect, it } from 'vitest';
import { type Attachments, attachmentsOf, lingering, unusedIds } from '../../../../src/core/publish/attachments.ts';

const secret = (id: string, file = id) => ({ id, name: file, file });
const parts = (networkIds: readonly string[], secrets: Attachments['secrets'] = []): Attachments => ({
  networkIds,
  secrets,
});
const NONE = new Set<string>();

describe('lingering', () => {
  it('keeps what is attached in its order, then what is new', () => {
    expect(lingering(parts(['c', 'a', 'b']), parts(['b', 'x', 'c']), NONE).networkIds).toEqual(['b', 'x', 'c', 'a']);
  });

  it('lets go of what is overdue, but never of what is needed', () => {
    expect(lingering(parts(['a']), parts(['a', 'x']), new Set(['a', 'x'])).networkIds).toEqual(['a']);
  });

  it("gives a file to the secret that is needed, also while the old one's time is not up", () => {
    const after = lingering(
      parts([], [secret('new', 'cert')]),
      parts([], [secret('old', 'cert'), secret('other')]),
      NONE,
    );
    expect(after.secrets).toEqual([secret('other'), secret('new', 'cert')]);
  });
});

describe('attachmentsOf', () => {
  it.each([
    undefined,
    null,
    'text',
    [],
    {},
    { TaskTemplate: { Networks: 'x', ContainerSpec: { Secrets: [null, 1, { SecretID: 1 }] } } },
  ])('finds nothing in %j', (spec) => {
    expect(attachmentsOf(spec)).toEqual(parts([]));
  });
});

describe('unusedIds', () => {
  it('names networks and secrets that are attached only', () => {
    expect(unusedIds(parts(['a'], [secret('s')]), parts(['a', 'b'], [secret('s'), secret('t')]))).toEqual(['b', 't']);
  });
});
