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
    name: 'status',
    operands: '[--watch]',
    summary: 'how things stand: core, clusters, every proxy, findings',
    load: async () => (await import('./status.ts')).statusCommand,
  },
  {
    name: 'routes',
    operands: '[--cluster NAME]',
    summary: 'what is routed where, with endpoints and nodes',
    load: async () => (await import('./routes.ts')).routesCommand,
  },
  {
    name: 'explain',
    operands: 'URL | --service NAME',
    summary: 'why an address answers as it does; why nothing happens with a service',
    load: async () => (await import('./explain.ts')).explainCommand,
  },
  {
    name: 'doctor',
    operands: '',
    summary: 'what is wrong with core, its Swarm, proxies and routed services',
    load: async () => (await import('./doctor.ts')).doctorCommand,
  },
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
    name: 'revisions',
    operands: '',
    summary: 'which routes each service cluster had, and since when',
    load: async () => (await import('./revisions.ts')).revisionsCommand,
  },
  {
    name: 'diff',
    operands: 'A B',
    summary: 'what differs between two revisions',
    load: async () => (await import('./diff.ts')).diffCommand,
  },
  {
    name: 'rollback',
    operands: 'REV',
    summary: "hold a service cluster's routes at an older revision",
    load: async () => (await import('./rollback.ts')).rollbackCommand,
  },
  {
    name: 'unpin',
    operands: '',
    summary: 'let the labels hold again',
    load: async () => (await import('./unpin.ts')).unpinCommand,
  },
  {
    name: 'token',
    operands: 'rotate',
    summary: 'replace the tokens of extensions and proxies',
    load: async () => (await import('./token.ts')).tokenCommand,
  },
  {
    name: 'uninstall',
    operands: '...',
    summary: 'remove what core made in Swarm',
    load: async () => (await import('./uninstall.ts')).uninstallCommand,
  },
];
