import { describe, expect, it } from 'vitest';
import { losesEndpoints } from '../../../src/model/losses.ts';
import { local, model } from '../../support/render-models.ts';

const of = (...ports: readonly number[]) =>
  model({ 'a.local': { '/': local(...ports) }, 'b.local': { '/': local(9) } });

describe('losesEndpoints', () => {
  it.each([
    ['nothing changed', of(1, 2), of(1, 2), false],
    ['one more', of(1), of(1, 2), false],
    ['one less', of(1, 2), of(1), true],
    ['another one', of(1), of(2), true],
    ['the last one', of(1), of(), true],
    ['the first one', of(), of(1), false],
    ['a pool without endpoints is gone', model({ 'a.local': { '/': [] } }), model({}), false],
    ['a pool is gone', of(1), model({ 'b.local': { '/': local(9) } }), true],
  ])('%s', (_, before, after, expected) => {
    expect(losesEndpoints(before, after)).toBe(expected);
  });

  it('a host that is renamed keeps its tasks and loses its pool', () => {
    expect(losesEndpoints(of(1), model({ 'c.local': { '/': local(1) }, 'b.local': { '/': local(9) } }))).toBe(true);
  });
});
