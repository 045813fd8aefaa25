/** Swarm's placement constraints, read as SwarmKit reads them (`manager/constraint`), against what we see of a node. Pure. */
import { BlockList, isIP } from 'node:net';
import type { Node } from '../../model/snapshot.ts';

export interface Constraint {
  readonly key: string;
  readonly operator: '==' | '!=';
  readonly value: string;
}

/** `undefined`: not in Swarm's grammar, which the Engine itself refuses. */
export function readConstraint(text: string): Constraint | undefined {
  const [, key, operator, value] = /^\s*(\S+?)\s*(==|!=)\s*(.*?)\s*$/.exec(text) ?? [];
  return key === undefined || value === undefined || (operator !== '==' && operator !== '!=')
    ? undefined
    : { key, operator, value };
}

/** True also where it cannot be known from here: platform and labels of the engine, and what is not in the grammar. */
export function matchesNode(constraint: Constraint | undefined, node: Node): boolean {
  if (constraint === undefined) {
    return true;
  }
  const { key, operator, value } = constraint;
  const lower = key.toLowerCase();
  if (lower.startsWith('node.platform.') || lower.startsWith('engine.labels.')) {
    return true;
  }
  const isEqual = equals(lower, key, value, node);
  return isEqual !== undefined && isEqual === (operator === '==');
}

/** `undefined`: a key that Swarm does not know; such a constraint is never met. */
function equals(lower: string, key: string, value: string, node: Node): boolean | undefined {
  const same = (text: string) => text.toLowerCase() === value.toLowerCase();
  switch (lower) {
    case 'node.id':
      return same(node.id);
    case 'node.hostname':
      return same(node.hostname);
    case 'node.role':
      return same(node.role);
    case 'node.ip':
      return isWithin(node.address, value);
    default:
      // A label that the node does not have is empty. Names of labels are told apart by case, the prefix is not.
      return lower.startsWith('node.labels.') ? same(node.labels[key.slice('node.labels.'.length)] ?? '') : undefined;
  }
}

/** An address, or a subnet such as `10.0.0.0/8`; `undefined` for what is neither: never met. */
function isWithin(address: string | undefined, value: string): boolean | undefined {
  const [base = '', length] = value.split('/');
  const family = isIP(base) === 6 ? 'ipv6' : 'ipv4';
  const bits = length === undefined ? undefined : Number(length);
  const most = family === 'ipv6' ? 128 : 32;
  if (isIP(base) === 0 || (bits !== undefined && !(Number.isInteger(bits) && bits >= 0 && bits <= most))) {
    return undefined;
  }
  const list = new BlockList();
  list.addSubnet(base, bits ?? most, family);
  return address !== undefined && isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}
