/**
 * Metrics of one daemon, from a table that says all there is to say about each: `docs/metrics.md` is generated from the tables. No label
 * may grow with hosts, services or callers; those per route alone do, up to a bound, where the operator asks for them. Comes in: counts
 * and times. Goes out: Prometheus' text, made when somebody asks for it.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export interface MetricDefinition {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
  /** Upper bounds, in seconds; for a histogram only. */
  readonly buckets?: readonly number[];
}

/** By name, with prefix and unit. */
export type MetricTable = Readonly<Record<string, MetricDefinition>>;

type NameOf<Table extends MetricTable, Kind extends MetricDefinition['kind']> = {
  [Name in keyof Table & string]: Table[Name]['kind'] extends Kind ? Name : never;
}[keyof Table & string];

type LabelsOf<Definition> = Definition extends { readonly labels: readonly (infer Label extends string)[] }
  ? Readonly<Record<Label, string>>
  : Readonly<Record<string, never>>;

export interface Metrics<Table extends MetricTable> {
  add<Name extends NameOf<Table, 'counter'>>(name: Name, labels: LabelsOf<Table[Name]>, by?: number): void;
  /** A counter that somebody else keeps: what it stands at. */
  total<Name extends NameOf<Table, 'counter'>>(name: Name, labels: LabelsOf<Table[Name]>, value: number): void;
  set<Name extends NameOf<Table, 'gauge'>>(name: Name, labels: LabelsOf<Table[Name]>, value: number | boolean): void;
  observe<Name extends NameOf<Table, 'histogram'>>(name: Name, labels: LabelsOf<Table[Name]>, ms: number): void;
  /** The series of these labels is gone until it is used again. */
  forget<Name extends NameOf<Table, 'counter' | 'histogram'>>(name: Name, labels: LabelsOf<Table[Name]>): void;
  /** Runs before each answer. Gauges that have labels are empty then, so that what is gone is gone; what throws leaves its metrics out. */
  onScrape(read: () => void | Promise<void>): void;
  /** Prometheus' text format 0.0.4. Who asks while it is being made gets the same one. */
  text(): Promise<string>;
}

/** The first bucket is what a small cluster takes for a stage, the last what is wrong in any. */
export const SECONDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** The same in every daemon: together they are the way of a change. */
export const STAGE_METRIC = {
  interlock_convergence_stage_seconds: {
    kind: 'histogram',
    help: 'How long each stage of a change took',
    labels: ['stage'],
    buckets: SECONDS,
  },
} as const satisfies MetricTable;

export function createMetrics<const Table extends MetricTable>(table: Table): Metrics<Table> {
  const { registry, counters, gauges, histograms } = makeAll(table);
  const reads: (() => void | Promise<void>)[] = [];
  let answer: Promise<string> | undefined;

  async function makeText(): Promise<string> {
    for (const [name, gauge] of gauges) {
      if (table[name]?.labels !== undefined) {
        gauge.reset();
      }
    }
    await Promise.allSettled(reads.map(async (read) => read()));
    return registry.metrics();
  }

  return {
    add: (name, labels, by = 1) => counters.get(name)?.inc(labels, by),
    total(name, labels, value) {
      counters.get(name)?.remove(labels);
      counters.get(name)?.inc(labels, value);
    },
    set: (name, labels, value) => gauges.get(name)?.set(labels, Number(value)),
    observe: (name, labels, ms) => histograms.get(name)?.observe(labels, Math.max(0, ms) / 1_000),
    forget: (name, labels) => (counters.get(name) ?? histograms.get(name))?.remove(labels),
    onScrape: (read) => void reads.push(read),
    async text() {
      answer ??= makeText();
      try {
        return await answer;
      } finally {
        answer = undefined;
      }
    },
  };
}

interface Made {
  readonly registry: Registry;
  readonly counters: ReadonlyMap<string, Counter>;
  readonly gauges: ReadonlyMap<string, Gauge>;
  readonly histograms: ReadonlyMap<string, Histogram>;
}

function makeAll(table: MetricTable): Made {
  const registry = new Registry();
  const made = { registry, counters: new Map(), gauges: new Map(), histograms: new Map() } satisfies Made;
  for (const [name, { kind, help, labels = [], buckets = SECONDS }] of Object.entries(table)) {
    const common = { name, help, labelNames: [...labels], registers: [registry] };
    switch (kind) {
      case 'counter':
        made.counters.set(name, new Counter(common));
        break;
      case 'gauge':
        made.gauges.set(name, new Gauge(common));
        break;
      case 'histogram':
        made.histograms.set(name, new Histogram({ ...common, buckets: [...buckets] }));
        break;
    }
  }
  return made;
}
