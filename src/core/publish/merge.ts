/**
 * Three-way merge of JSON specs: what the operator set with `docker service update` stays, unless what we want has changed there
 * since we last applied it.
 *
 *   base     what core applied last
 *   desired  what core wants now
 *   observed what the Engine holds (base plus the operator's changes)
 *
 * Objects merge key by key. Lists whose elements have an identity (networks, configs, mounts, ports, environment, constraints …)
 * merge element by element. Everything else is one value. Where base and desired agree, observed wins.
 */
import { canonicalJson } from '../../model/revision.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export function mergeSpecs(
  base: Json | undefined,
  desired: Json | undefined,
  observed: Json | undefined,
): Json | undefined {
  if (same(base, desired)) {
    return observed;
  }
  if (isObject(desired) && isObject(observed)) {
    return mergeObjects(isObject(base) ? base : {}, desired, observed);
  }
  if (isList(desired) && isList(observed)) {
    return mergeLists(isList(base) ? base : [], desired, observed);
  }
  return desired;
}

type JsonObject = { readonly [key: string]: Json };

function mergeObjects(base: JsonObject, desired: JsonObject, observed: JsonObject): JsonObject {
  const keys = [...new Set([...Object.keys(observed), ...Object.keys(desired)])];
  const merged = keys.map((key) => [key, mergeSpecs(base[key], desired[key], observed[key])] as const);
  return Object.fromEntries(merged.filter((entry): entry is [string, Json] => entry[1] !== undefined));
}

/** Ours in our order, then the operator's own additions; what we had and no longer want goes. */
function mergeLists(base: readonly Json[], desired: readonly Json[], observed: readonly Json[]): readonly Json[] {
  const ofBase = byIdentity(base);
  const ofDesired = byIdentity(desired);
  const ofObserved = byIdentity(observed);
  if (ofBase === undefined || ofDesired === undefined || ofObserved === undefined) {
    return desired;
  }
  const ours = [...ofDesired].flatMap(([identity, element]) => {
    const merged = mergeSpecs(ofBase.get(identity), element, ofObserved.get(identity) ?? element);
    return merged === undefined ? [] : [merged];
  });
  const theirs = [...ofObserved].filter(([identity]) => !ofBase.has(identity) && !ofDesired.has(identity));
  return [...ours, ...theirs.map(([, element]) => element)];
}

/** `undefined` when some element has no identity, or two share one. */
function byIdentity(list: readonly Json[]): ReadonlyMap<string, Json> | undefined {
  const elements = new Map<string, Json>();
  for (const element of list) {
    const identity = identityOf(element);
    if (identity === undefined || elements.has(identity)) {
      return undefined;
    }
    elements.set(identity, element);
  }
  return elements;
}

/**
 * By what an element of a list is told from the others; `undefined` when it has nothing of the kind.
 * Engine API: Env is `NAME=value`; Configs and Secrets are told apart by their file, Networks and Mounts by their Target,
 * Ports by what they publish.
 */
export function identityOf(element: Json): string | undefined {
  if (typeof element === 'string') {
    return /^[A-Za-z_][A-Za-z0-9_]*=[^=]/.test(element) ? element.slice(0, element.indexOf('=')) : element;
  }
  if (!isObject(element)) {
    return undefined;
  }
  const file = element['File'];
  if (isObject(file)) {
    return text(file['Name']);
  }
  const targetPort = element['TargetPort'];
  if (typeof targetPort === 'number') {
    return `${text(element['Protocol']) ?? 'tcp'}/${targetPort}`;
  }
  return text(element['Target']);
}

function text(value: Json | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function same(a: Json | undefined, b: Json | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && canonicalJson(a) === canonicalJson(b));
}
