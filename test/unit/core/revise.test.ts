import { expect, it } from 'vitest';
import { createHopMemory } from '../../../src/core/revise.ts';
import { model } from '../../support/render-models.ts';

const plain = (extension = 'default') => model({}, { extension });
const hopping = (extension = 'default') => model({}, { extension, tlsHop: true });

it('keeps the TLS hop of a cluster once it was taken, for as long as core lives', () => {
  const hops = createHopMemory();
  expect(hops.keep(plain()).header.tlsHop).toBe(false);
  expect(hops.keep(hopping()).header.tlsHop).toBe(true);
  expect(hops.keep(plain())).toEqual(hopping());
});

it('keeps it for that cluster alone, and not for the next core', () => {
  const hops = createHopMemory();
  hops.keep(hopping('a'));
  expect(hops.keep(plain('b')).header.tlsHop).toBe(false);
  expect(createHopMemory().keep(plain('a')).header.tlsHop).toBe(false);
});
