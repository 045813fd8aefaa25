/** The tables side by side, as the page prints them and the test reads them. */
import { BEHAVIOUR_ROWS } from './behaviour.ts';
import { FAULT_ROWS } from './fault-rows.ts';
import { FAULTS } from './faults.ts';
import { HAPROXY_ROWS } from './haproxy.ts';
import { CORE_ROWS, EXTENSION_ROWS, GRPC_ROWS, NGINX_ROWS } from './keys.ts';
import { LABEL_ROWS } from './labels.ts';
import type { Row } from './proof.ts';

export interface ParityTable {
  readonly title: string;
  /** What the first column is called. */
  readonly subject: string;
  readonly rows: readonly ParityRow[];
}

export interface ParityRow {
  /** The label, the key, the behaviour, or the fault with its number, as Markdown. */
  readonly name: string;
  readonly row: Row;
}

const named = (rows: Readonly<Record<string, Row>>): readonly ParityRow[] =>
  Object.entries(rows).map(([name, row]) => ({ name: `\`${name}\``, row }));

const behaviour = Object.entries(BEHAVIOUR_ROWS).map(([name, row]) => ({ name, row }));

const faults = Object.entries(FAULTS).map(([number, words]) => ({
  name: `${number}. ${words}`,
  row: FAULT_ROWS[Number(number) as keyof typeof FAULTS], // the keys of FAULTS, which Object.entries makes text of
}));

export const TABLES: readonly ParityTable[] = [
  { title: 'Labels', subject: 'Label', rows: named(LABEL_ROWS) },
  { title: 'config.toml: top level', subject: 'Key', rows: named(CORE_ROWS) },
  { title: 'config.toml: `[GRPC]`', subject: 'Key', rows: named(GRPC_ROWS) },
  { title: 'config.toml: `[Extensions.<name>]`', subject: 'Key', rows: named(EXTENSION_ROWS) },
  { title: 'config.toml: `[Extensions.<name>.Config]` for NGINX', subject: 'Key', rows: named(NGINX_ROWS) },
  { title: 'config.toml: `[Extensions.<name>.Config]` for HAProxy', subject: 'Key', rows: named(HAPROXY_ROWS) },
  { title: 'Behaviour with no label or key of its own', subject: 'Behaviour', rows: behaviour },
  { title: 'Known faults and limits of the original', subject: 'Fault', rows: faults },
];
