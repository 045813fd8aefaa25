import { describe, expect, it } from 'vitest';
import { nearestName } from '../../../src/model/nearest-name.ts';

const KNOWN = ['hosts', 'port', 'network', 'context_root', 'context_root_rewrite', 'default_backend', 'ssl_only'];

describe('nearestName', () => {
  it.each([
    ['host', 'hosts'],
    ['Hosts', 'hosts'],
    ['hsots', 'hosts'],
    ['prot', 'port'],
    ['defaul_backend', 'default_backend'],
    ['contextroot', 'context_root'],
    ['sslonly', 'ssl_only'],
  ])('takes %j for %j', (name, near) => {
    expect(nearestName(name, KNOWN)).toBe(near);
  });

  it.each(['', 'x', 'sticky', 'root', 'h'.repeat(100_000)])('finds nothing near %j', (name) => {
    expect(nearestName(name, KNOWN)).toBeUndefined();
  });
});
