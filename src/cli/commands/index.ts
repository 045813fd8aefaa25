/** The commands for people, in the order in which `interlock help` lists them. Loaded when asked for: the daemons do without. */
import type { ToolCommand } from '../command.ts';

export interface CommandEntry {
  readonly name: string;
  /** What stands behind the name in the list, e.g. `--out DIR`; `''`: nothing. */
  readonly operands: string;
  /** One line of `interlock help`, without a full stop. */
  readonly summary: string;
  load(): Promise<ToolCommand>;
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'snapshot',
    operands: '--out DIR',
    summary: 'save what core sees of a live Swarm as files',
    load: async () => (await import('./snapshot.ts')).snapshotCommand,
  },
  {
    name: 'render',
    operands: '...',
    summary: 'what the proxies would serve, from saved files; needs no engine',
    load: async () => (await import('./render.ts')).renderCommand,
  },
  {
    name: 'check',
    operands: 'FILE...',
    summary: 'what is wrong with config.toml and stack files, before they are deployed',
    load: async () => (await import('./check.ts')).checkCommand,
  },
  {
    name: 'schema',
    operands: '',
    summary: 'the JSON Schema of config.toml, for editors',
    load: async () => (await import('./schema.ts')).schemaCommand,
  },
  {
    name: 'uninstall',
    operands: '...',
    summary: 'remove what core made in Swarm',
    load: async () => (await import('./uninstall.ts')).uninstallCommand,
  },
];
