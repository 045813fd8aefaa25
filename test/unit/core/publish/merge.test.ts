import { describe, expect, it } from 'vitest';
import { type Json, mergeSpecs } from '../../../../src/core/publish/merge.ts';

describe('mergeSpecs', () => {
  it.each<[string, Json, Json, Json, Json]>([
    ['keeps what the operator added', { a: 1 }, { a: 1 }, { a: 1, b: 2 }, { a: 1, b: 2 }],
    ['keeps what the operator changed when we did not', { a: 1 }, { a: 1, c: 1 }, { a: 5 }, { a: 5, c: 1 }],
    ['writes what we changed over what the operator changed', { a: 1 }, { a: 2 }, { a: 5 }, { a: 2 }],
    ['removes what we no longer want', { a: 1, b: 1 }, { a: 1 }, { a: 1, b: 1, x: 1 }, { a: 1, x: 1 }],
    ['goes into objects', { a: { x: 1 } }, { a: { x: 2 } }, { a: { x: 1, y: 9 } }, { a: { x: 2, y: 9 } }],
    ['replaces a scalar list element by element', ['a', 'b'], ['a', 'c'], ['a', 'b', 'mine'], ['a', 'c', 'mine']],
    ['replaces an environment variable by its name', ['A=1'], ['A=2'], ['A=1', 'B=9'], ['A=2', 'B=9']],
    [
      'tells constraints from environment variables',
      ['node.role==manager'],
      ['node.role==worker'],
      ['node.role==manager'],
      ['node.role==worker'],
    ],
    [
      'exchanges the Docker Config under one path',
      [{ ConfigID: '1', ConfigName: 'a', File: { Name: '/f' } }],
      [{ ConfigID: '2', ConfigName: 'b', File: { Name: '/f' } }],
      [
        { ConfigID: '1', ConfigName: 'a', File: { Name: '/f', UID: '7' } },
        { ConfigID: '9', ConfigName: 'x', File: { Name: '/mine' } },
      ],
      [
        { ConfigID: '2', ConfigName: 'b', File: { Name: '/f', UID: '7' } },
        { ConfigID: '9', ConfigName: 'x', File: { Name: '/mine' } },
      ],
    ],
    [
      "leaves one network and keeps the operator's",
      [{ Target: 'n1' }, { Target: 'n2' }],
      [{ Target: 'n1' }],
      [{ Target: 'n1' }, { Target: 'n2' }, { Target: 'mine' }],
      [{ Target: 'n1' }, { Target: 'mine' }],
    ],
    ['takes ours whole when an element has no identity', [{ q: 1 }], [{ q: 2 }], [{ q: 1 }, { q: 3 }], [{ q: 2 }]],
    ['takes ours whole when the kinds differ', { a: 1 }, { a: [1] }, { a: { b: 1 } }, { a: [1] }],
  ])('%s', (_claim, base, desired, observed, expected) => {
    expect(mergeSpecs(base, desired, observed)).toEqual(expected);
  });

  it('brings back a value that we changed and the operator removed', () => {
    expect(mergeSpecs({ a: 1 }, { a: 2 }, {})).toEqual({ a: 2 });
  });

  it('leaves a value removed by the operator alone when we did not change it', () => {
    expect(mergeSpecs({ a: 1, b: 1 }, { a: 1, b: 2 }, { b: 1 })).toEqual({ b: 2 });
  });
});
