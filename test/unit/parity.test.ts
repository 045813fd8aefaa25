/** The parity tables against the source: no row is missing, none is made up, and each proof is a test that is there and runs. */
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { LABEL_NAMES } from '../../src/labels/label-table.ts';
import { CORE_SCHEMA, EXTENSION_SCHEMA, GRPC_SCHEMA } from '../../src/settings/core-schema.ts';
import { NGINX_SCHEMA } from '../../src/settings/nginx-options.ts';
import { isWaiting, type TableName } from '../../src/settings/waiting-keys.ts';
import { BEHAVIOUR_ROWS } from '../parity/behaviour.ts';
import { FAULT_ROWS } from '../parity/fault-rows.ts';
import { FAULTS } from '../parity/faults.ts';
import { HAPROXY_KEYS, HAPROXY_ROWS } from '../parity/haproxy.ts';
import { CORE_ROWS, EXTENSION_ROWS, GRPC_ROWS, NGINX_ROWS } from '../parity/keys.ts';
import { LABEL_ROWS } from '../parity/labels.ts';
import type { Level, Proof, Row } from '../parity/proof.ts';
import { TABLES } from '../parity/tables.ts';

/** The folders where tests of a level live. */
const HOMES: Readonly<Record<Level, RegExp>> = {
  swarm: /^test\/(?:e2e|full)\//,
  engine: /^test\/(?:e2e|contract)\//,
  nginx: /^test\/integration\//,
  file: /^test\/(?:unit|property|golden|integration)\//,
};

const ROWS = TABLES.flatMap(({ title, rows }) => rows.map(({ name, row }) => ({ where: `${title}: ${name}`, row })));
const PROOFS = ROWS.flatMap(({ where, row }) => row.proofs.map((proof) => ({ where, proof })));

/** The titles of the tests in a source: first arguments of `it`, `describe` and what they are made of; none that are skipped for good. */
function titlesIn(source: string): ReadonlySet<string> {
  const titles = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTest(node.expression)) {
      const [title] = node.arguments;
      if (title !== undefined && ts.isStringLiteralLike(title)) {
        titles.add(title.text);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('x.ts', source, ts.ScriptTarget.Latest));
  return titles;
}

/** `it`, `it.each(…)`, `describe.runIf(…)`, and the like. */
function isTest(callee: ts.Expression): boolean {
  if (ts.isIdentifier(callee)) {
    return callee.text === 'it' || callee.text === 'describe';
  }
  if (ts.isPropertyAccessExpression(callee)) {
    return callee.name.text !== 'skip' && callee.name.text !== 'todo' && isTest(callee.expression);
  }
  return ts.isCallExpression(callee) && isTest(callee.expression);
}

function sourceOf(file: string): string | undefined {
  try {
    return readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
  } catch {
    return undefined; // said by the test that asks, with the row's name
  }
}

const sources = new Map([...new Set(PROOFS.map(({ proof }) => proof.file))].map((file) => [file, sourceOf(file)]));
const titles = new Map([...sources].map(([file, source]) => [file, titlesIn(source ?? '')]));

/** What is wrong with a proof; `undefined` when nothing is. */
function wrongWith({ level, file, title, row }: Proof): string | undefined {
  const source = sources.get(file);
  if (source === undefined) {
    return `there is no ${file}`;
  }
  if (!HOMES[level].test(file)) {
    return `${file} is no place for a test of level ${level}`;
  }
  if (titles.get(file)?.has(title) !== true) {
    return `${file} has no test "${title}"`;
  }
  return row === undefined || source.includes(row) ? undefined : `${file} has no row ${row}`;
}

describe('the tables', () => {
  it.each<[string, object, readonly string[]]>([
    ['labels', LABEL_ROWS, LABEL_NAMES],
    ['keys of the top level', CORE_ROWS, Object.keys(CORE_SCHEMA.shape)],
    ['keys of [GRPC]', GRPC_ROWS, Object.keys(GRPC_SCHEMA.shape)],
    ['keys of an extension', EXTENSION_ROWS, Object.keys(EXTENSION_SCHEMA.shape)],
    ['options for NGINX', NGINX_ROWS, Object.keys(NGINX_SCHEMA.shape)],
    ['options for HAProxy', HAPROXY_ROWS, HAPROXY_KEYS],
    ['faults', FAULT_ROWS, Object.keys(FAULTS)],
  ])('have a row for each of the %s, and no other', (_what, rows, names) => {
    expect(Object.keys(rows).sort()).toEqual([...names].sort());
  });

  it('know all 44 faults', () => {
    expect(Object.keys(FAULTS).map(Number)).toEqual(Array.from({ length: 44 }, (_, at) => at + 1));
  });

  it('are all on the page', () => {
    const keys = [CORE_ROWS, GRPC_ROWS, EXTENSION_ROWS, NGINX_ROWS, HAPROXY_ROWS];
    const tables = [LABEL_ROWS, ...keys, BEHAVIOUR_ROWS, FAULT_ROWS];
    expect(ROWS.map(({ row }) => row)).toEqual(tables.flatMap((rows) => Object.values(rows)));
  });
});

describe('a row', () => {
  it('without a proof says why', () => {
    const silent = ROWS.filter(({ row }) => 'why' in row && row.why.length < 20);
    expect(silent.map(({ where }) => where)).toEqual([]);
  });

  it.each<[TableName, Readonly<Record<string, Row>>]>([
    ['core', CORE_ROWS],
    ['extension', EXTENSION_ROWS],
    ['nginx', NGINX_ROWS],
  ])('of a key of the table %s is without a proof only where the key is without effect', (table, rows) => {
    const unproven = Object.entries(rows).filter(([, row]) => 'why' in row);
    expect(unproven.map(([key]) => key).filter((key) => !isWaiting(table, key))).toEqual([]);
  });

  it('names tests that are there, by their titles', () => {
    const wrong = PROOFS.flatMap(({ where, proof }) => {
      const words = wrongWith(proof);
      return words === undefined ? [] : [`${where}: ${words}`];
    });
    expect(wrong).toEqual([]);
  });

  it('names each proof once', () => {
    const twice = ROWS.filter(
      ({ row }) => new Set(row.proofs.map((proof) => JSON.stringify(proof))).size < row.proofs.length,
    );
    expect(twice.map(({ where }) => where)).toEqual([]);
  });
});

describe('the reader of titles', () => {
  it('sees tests by their whole titles, and neither comments, other strings nor what is skipped', () => {
    const source = `
// it('in a comment', () => 0);
const text = 'just text';
describe('outer', () => { it('inner', () => 0); });
it.each([1])('each %s', () => 0);
describe.runIf(true)("it's run", () => 0);
it.skip('skipped', () => 0);
it.todo('later');
other('not a test', () => 0);
`;
    expect([...titlesIn(source)]).toEqual(['outer', 'inner', 'each %s', "it's run"]);
  });

  it('finds a proof wrong whose test was renamed, and one whose row is gone', () => {
    const file = 'test/unit/parity-gaps/extension-keys.test.ts';
    const good: Proof = { level: 'file', file, title: 'reaches the spec of its service', row: "key: 'Args'" };
    expect(wrongWith(good)).toBeUndefined();
    expect(wrongWith({ ...good, title: 'reaches the spec' })).toContain('has no test');
    expect(wrongWith({ ...good, row: "key: 'Arg'" })).toContain('has no row');
    expect(wrongWith({ ...good, level: 'swarm' })).toContain('no place');
    expect(wrongWith({ ...good, file: 'test/unit/gone.test.ts' })).toContain('there is no');
  });
});
