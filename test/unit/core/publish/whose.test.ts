import { describe, expect, it } from 'vitest';
import type { ServiceObject } from '../../../../src/core/engine/engine-api.ts';
import type { Home } from '../../../../src/core/publish/desired.ts';
import { hasIdentity, homeLabels, isOfHome, mayBeOfHome } from '../../../../src/core/publish/home-labels.ts';
import { LABELS, TYPES } from '../../../../src/core/publish/names.ts';
import { foreignerOf } from '../../../../src/core/publish/whose.ts';

const homeOf = (parts: Pick<Home, 'stack' | 'serviceName'>): Home => ({
  serviceId: undefined,
  controlNetworkIds: [],
  endpoint: 'core:8080',
  ...parts,
});
const IN_STACK = homeOf({ stack: 'a', serviceName: 'a_core' });
const ALONE = homeOf({ stack: undefined, serviceName: 'core' });
const OUTSIDE = homeOf({ stack: undefined });

type Labels = Readonly<Record<string, string>>;
const OURS = { [LABELS.type]: TYPES.proxy, [LABELS.extension]: 'default' };
const STACK_A = { ...OURS, [LABELS.stack]: 'a' };

function service(labels: Labels, applied?: Labels): ServiceObject {
  const label = applied && { [LABELS.applied]: JSON.stringify({ Labels: applied }) };
  return {
    id: 'id',
    name: 'interlock-proxy',
    version: 1,
    labels: { ...labels, ...label },
    spec: {},
    previousSpec: undefined,
    updateState: 'none',
    updateMessage: undefined,
  };
}

const claim = (home: Home, tables = ['default', 'other']) => ({
  role: 'proxy' as const,
  extension: 'default',
  tables: new Set(tables),
  home,
});

describe('foreignerOf', () => {
  it.each<[string, Home, Labels, Labels | undefined]>([
    ['of this stack', IN_STACK, STACK_A, STACK_A],
    ['that lost all its labels', IN_STACK, {}, STACK_A],
    ['that lost its stack label', IN_STACK, OURS, STACK_A],
    ['of a table that config.toml has no more', IN_STACK, { ...STACK_A, [LABELS.extension]: 'gone' }, undefined],
    ['of a core outside of any stack', ALONE, { ...OURS, [LABELS.coreService]: 'core' }, undefined],
    ['that such a core made before it left its name', ALONE, OURS, OURS],
    ['of a core that is no service', OUTSIDE, OURS, OURS],
    ['that a core outside of any stack was given', ALONE, { ...OURS, [LABELS.coreService]: 'core' }, STACK_A],
    ['that was handed over by its stack label', IN_STACK, STACK_A, { ...OURS, [LABELS.stack]: 'b' }],
  ])('takes one for ours: %s', (_, home, labels, applied) => {
    expect(foreignerOf(service(labels, applied), claim(home))).toBeUndefined();
  });

  it.each<[string, Home, Labels, Labels | undefined]>([
    ['the Interlock of the stack b', IN_STACK, { ...OURS, [LABELS.stack]: 'b' }, undefined],
    ['the Interlock of the stack b', IN_STACK, {}, { ...OURS, [LABELS.stack]: 'b' }],
    ['the Interlock of the stack b', IN_STACK, { ...OURS, [LABELS.stack]: 'b' }, STACK_A],
    ['the Interlock of the stack b', ALONE, { ...OURS, [LABELS.stack]: 'b' }, undefined],
    ['the Interlock of the stack b', IN_STACK, { ...OURS, [LABELS.stack]: 'b', [LABELS.extension]: 'gone' }, undefined],
    ['an Interlock outside of any stack', IN_STACK, OURS, OURS],
    ['the Interlock whose core is the service its', ALONE, { ...OURS, [LABELS.coreService]: 'its' }, undefined],
    ['the Interlock whose core is the service its', OUTSIDE, { ...OURS, [LABELS.coreService]: 'its' }, undefined],
    [
      'this Interlock, for the table [Extensions.other]',
      IN_STACK,
      { ...STACK_A, [LABELS.extension]: 'other' },
      undefined,
    ],
    [
      'this Interlock, for the table [Extensions.default]',
      IN_STACK,
      { ...STACK_A, [LABELS.type]: TYPES.extension },
      undefined,
    ],
  ])('names who made it: %s', (maker, home, labels, applied) => {
    expect(foreignerOf(service(labels, applied), claim(home))?.maker).toBe(maker);
  });

  it.each<[string, Labels, string | undefined]>([
    ['no labels', { mine: 'yes' }, undefined],
    ['another type', { type: 'database', [LABELS.stack]: 'a' }, undefined],
    ['no table', { [LABELS.type]: TYPES.proxy, [LABELS.stack]: 'a' }, undefined],
    ['a damaged applied label', { [LABELS.applied]: '{"Labels":[1]}' }, undefined],
  ])('knows one with %s for no work of Interlock', (_, labels) => {
    expect(foreignerOf(service(labels), claim(IN_STACK))).toEqual({ service: service(labels), maker: undefined });
  });
});

describe('the identity of a core', () => {
  it.each([
    ['its stack', IN_STACK, { [LABELS.stack]: 'a' }, true],
    ['its service outside of any stack', ALONE, { [LABELS.coreService]: 'core' }, true],
    ['nothing where it is no service', OUTSIDE, {}, false],
  ] as const)('is %s', (_, home, labels, has) => {
    expect(homeLabels(home)).toEqual(labels);
    expect(isOfHome(labels, home)).toBe(true);
    expect(hasIdentity(home)).toBe(has);
  });

  it.each([
    ['another stack', IN_STACK, { [LABELS.stack]: 'b' }, false],
    ['no stack', IN_STACK, {}, false],
    ['a stack', ALONE, { [LABELS.stack]: 'a' }, false],
    ['another core', ALONE, { [LABELS.coreService]: 'its' }, false],
    ['no core', ALONE, {}, true],
  ] as const)('is not that of a thing of %s', (_, home, labels, may) => {
    expect(isOfHome(labels, home)).toBe(false);
    expect(mayBeOfHome(labels, home)).toBe(may);
  });
});
