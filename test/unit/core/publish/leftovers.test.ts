import { describe, expect, it } from 'vitest';
import type { Home } from '../../../../src/core/publish/desired.ts';
import { isLeftover } from '../../../../src/core/publish/leftovers.ts';
import { LABELS, TYPES } from '../../../../src/core/publish/names.ts';

const HOME: Home = {
  serviceId: 'core',
  serviceName: 'core',
  stack: 'interlock',
  controlNetworkIds: [],
  endpoint: 'core:8080',
};
const TABLES = [
  { name: 'main', serviceName: 'extension', proxyServiceName: 'proxy' },
  { name: 'edge', serviceName: 'edge-extension', proxyServiceName: 'edge-proxy' },
];

const service = (name: string, type: string, table: string, identity: Record<string, string> = OF_STACK) => ({
  name,
  labels: { [LABELS.type]: type, [LABELS.extension]: table, ...identity },
});
const OF_STACK = { [LABELS.stack]: 'interlock' };

describe('isLeftover', () => {
  it.each([
    ['one that its table wants', service('proxy', TYPES.proxy, 'main'), false],
    ['one of a table that is gone', service('old-proxy', TYPES.proxy, 'old'), true],
    ['one whose table calls it otherwise now', service('old-proxy', TYPES.proxy, 'main'), true],
    ['one that a table of another name takes over', service('proxy', TYPES.proxy, 'old'), false],
    ['one of a name that is wanted for another purpose', service('proxy', TYPES.extension, 'old'), true],
    [
      'one of a table that has another one now, whose name a second table wants',
      service('edge-proxy', TYPES.proxy, 'main'),
      true,
    ],
    ['one of another stack', service('old-proxy', TYPES.proxy, 'old', { [LABELS.stack]: 'other' }), false],
    ['one of no stack', service('old-proxy', TYPES.proxy, 'old', {}), false],
    ['what is none of ours', { name: 'db', labels: { ...OF_STACK, type: 'database' } }, false],
  ])('%s', (_, one, is) => {
    expect(isLeftover(TABLES, HOME)(one)).toBe(is);
  });

  it.each([
    ['its own', 'core', 'core', true],
    ["another core's", 'core', 'its', false],
    ['what carries no name of a core', 'core', undefined, false],
    ['what a core that is no service made', undefined, undefined, false],
  ])('outside of any stack core takes away %s: %#', (_, serviceName, label, is) => {
    const home = { ...HOME, stack: undefined, serviceName };
    const identity = label === undefined ? {} : { [LABELS.coreService]: label };
    expect(isLeftover(TABLES, home)(service('old-proxy', TYPES.proxy, 'old', identity))).toBe(is);
  });
});
