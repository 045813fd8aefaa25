/**
 * Whose a service is that has the name of one of ours: only our own are ever written. Pure.
 *
 *   ours      made by this core for this table, or for one that config.toml has no more: then it is this table's from now on
 *   foreign   made by somebody else, by another Interlock, or for another table
 */
import type { ServiceObject } from '../engine/engine-api.ts';
import type { Home } from './desired.ts';
import type { Json } from './merge.ts';
import { LABELS, TYPES } from './names.ts';
import { appliedSpec, type ForeignService, type Role } from './plan.ts';

export interface Claim {
  readonly role: Role;
  /** The table that wants the service. */
  readonly extension: string;
  /** Names of all tables of config.toml. */
  readonly tables: ReadonlySet<string>;
  readonly home: Home;
}

/**
 * `undefined` for one of ours. A label that somebody took away counts as core applied it last. One that somebody changed counts as it is now: so an operator hands a
 * service over to another stack.
 */
export function foreignerOf(service: ServiceObject, claim: Claim): ForeignService | undefined {
  const known = knownBy(service);
  if (known.table === undefined || !isKind(known.type)) {
    return { service, maker: undefined };
  }
  const maker = otherInterlock(known, claim.home) ?? otherTable(known, claim);
  return maker === undefined ? undefined : { service, maker };
}

/** One without the label of a core outside of any stack was made before there was one, or has lost it. */
function otherInterlock({ stack, core }: KnownBy, home: Home): string | undefined {
  if (stack !== home.stack) {
    return stack === undefined ? 'an Interlock outside of any stack' : `the Interlock of the stack ${stack}`;
  }
  return stack === undefined && core !== undefined && core !== home.serviceName
    ? `the Interlock whose core is the service ${core}`
    : undefined;
}

function otherTable({ type, table = '' }: KnownBy, { role, extension, tables }: Claim): string | undefined {
  const isOfNoOther = table === extension || !tables.has(table);
  return type === TYPES[role] && isOfNoOther ? undefined : `this Interlock, for the table [Extensions.${table}]`;
}

interface KnownBy {
  readonly type: string | undefined;
  readonly table: string | undefined;
  readonly stack: string | undefined;
  readonly core: string | undefined;
}

function knownBy(service: ServiceObject): KnownBy {
  const applied = textsOf(appliedSpec(service)?.['Labels']);
  const { labels } = service;
  const whole = isKind(labels[LABELS.type]) && labels[LABELS.extension] !== undefined ? labels : applied;
  return {
    type: whole[LABELS.type],
    table: whole[LABELS.extension],
    // Handed over from a stack to a core outside of any, by its label.
    stack: labels[LABELS.stack] ?? (labels[LABELS.coreService] === undefined ? applied[LABELS.stack] : undefined),
    core: labels[LABELS.coreService] ?? applied[LABELS.coreService],
  };
}

function isKind(type: string | undefined): boolean {
  return type === TYPES.extension || type === TYPES.proxy;
}

/** The label that it came from can be edited. */
function textsOf(value: Json | undefined): Readonly<Record<string, string | undefined>> {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
