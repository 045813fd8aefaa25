/**
 * What somebody took away by hand from a service of ours that it cannot do without: the labels it is known by, the networks, configs and
 * secrets that core attached, the environment it is started with. All else that operators set or remove stays as they left it. Pure.
 */
import type { SpecJson } from './desired.ts';
import { identityOf, type Json } from './merge.ts';
import { LABELS } from './names.ts';

/**
 * The base of the three-way merge: `applied` less what is missing in `observed` and vital, so that the merge puts it back.
 * The very same object when nothing is missing.
 */
export function withoutLost(applied: SpecJson, observed: Json): SpecJson {
  return VITAL.reduce<SpecJson>((base, { path, isVital }) => {
    const [mine, theirs] = [at(base, path), at(observed, path)];
    const kept = isRecord(mine) ? keptKeys(mine, theirs, isVital) : keptElements(mine, theirs, isVital);
    return kept === mine || kept === undefined ? base : put(base, path, kept);
  }, applied);
}

interface Vital {
  readonly path: readonly string[];
  /** By a label's name, or an element's identity in the merge. */
  readonly isVital: (identity: string) => boolean;
}

const KNOWN_BY: ReadonlySet<string> = new Set([LABELS.type, LABELS.extension, LABELS.stack, LABELS.coreService]);

const VITAL: readonly Vital[] = [
  { path: ['Labels'], isVital: (name) => KNOWN_BY.has(name) },
  { path: ['TaskTemplate', 'Networks'], isVital: () => true },
  { path: ['TaskTemplate', 'ContainerSpec', 'Configs'], isVital: () => true },
  { path: ['TaskTemplate', 'ContainerSpec', 'Secrets'], isVital: () => true },
  { path: ['TaskTemplate', 'ContainerSpec', 'Env'], isVital: (name) => name.startsWith('INTERLOCK_') },
];

function keptKeys(mine: SpecJson, theirs: Json | undefined, isVital: Vital['isVital']): SpecJson {
  const present = isRecord(theirs) ? theirs : {};
  const lost = Object.keys(mine).filter((key) => isVital(key) && present[key] === undefined);
  return lost.length === 0 ? mine : Object.fromEntries(Object.entries(mine).filter(([key]) => !lost.includes(key)));
}

function keptElements(mine: Json | undefined, theirs: Json | undefined, isVital: Vital['isVital']): Json | undefined {
  if (!isList(mine)) {
    return mine;
  }
  const present = new Set((isList(theirs) ? theirs : []).map(identityOf));
  const kept = mine.filter((element) => {
    const identity = identityOf(element);
    return identity === undefined || !isVital(identity) || present.has(identity);
  });
  return kept.length === mine.length ? mine : kept;
}

function at(value: Json | undefined, path: readonly string[]): Json | undefined {
  return path.reduce<Json | undefined>((inner, key) => (isRecord(inner) ? inner[key] : undefined), value);
}

function put(spec: SpecJson, path: readonly string[], value: Json): SpecJson {
  const [key = '', ...rest] = path;
  const inner = spec[key];
  return { ...spec, [key]: rest.length === 0 || !isRecord(inner) ? value : put(inner, rest, value) };
}

function isRecord(value: Json | undefined): value is SpecJson {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}
