/** `docs/metrics.md`: every metric of the three daemons, from the tables that make them. */
import { AGENT_METRICS, AGENT_STAGES } from '../../../src/agent/metrics.ts';
import { CORE_METRICS, CORE_STAGES } from '../../../src/core/metrics/definitions.ts';
import { EXTENSION_METRICS, EXTENSION_STAGES } from '../../../src/extension/metrics.ts';
import { type MetricTable, STAGE_METRIC } from '../../../src/runtime/metrics.ts';
import { PROCESS_METRICS } from '../../../src/runtime/process-metrics.ts';
import { generatedFrom, markdownTable, type Page } from './page.ts';

export const metricsPage: Page = { path: 'docs/metrics.md', render };

const COMMON = new Set([...Object.keys(STAGE_METRIC), ...Object.keys(PROCESS_METRICS)]);

function render(): string {
  const sources = [
    'src/core/metrics/definitions.ts',
    'src/extension/metrics.ts',
    'src/agent/metrics.ts',
    'src/agent/route-metrics.ts',
  ];
  const stages = Object.entries({ ...CORE_STAGES, ...EXTENSION_STAGES, ...AGENT_STAGES });
  return `${generatedFrom(...sources, 'src/runtime/process-metrics.ts')}

# Metrics

Core, each extension and each proxy answer \`/metrics\`, \`/healthz\` and \`/readyz\` at the port of \`MetricsListenAddr\` (9090), extensions and
proxies on the control network only. How to scrape them and what to be woken for: [docs/howto/monitoring.md](howto/monitoring.md).

The number of series does not grow with hosts, services or endpoints, but for those per route that \`RouteMetrics\` switches on. Labels named \`extension\` hold the name of an \`[Extensions.<name>]\` table.

## All three

${tableOf({ ...STAGE_METRIC, ...PROCESS_METRICS })}

### Stages

Each is measured by one clock, so none of them holds the difference of two machines. What lies before core's picture of the Swarm is not
measured: Swarm's own times come from other machines.

${markdownTable(
  ['`stage`', 'What is measured'],
  stages.map(([stage, words]) => [`\`${stage}\``, words]),
)}

## Core

${tableOf(own(CORE_METRICS))}

## Extension

${tableOf(own(EXTENSION_METRICS))}

## Proxy

Open NGINX counts connections and requests as a whole. Numbers per route come with \`RouteMetrics\`
([docs/howto/monitoring.md](howto/monitoring.md#requests-per-route)); all there is about a single request is in the access log, one line
each (\`TraceLogFormat\` and the log options of [docs/config.md](config.md)), for whatever collects your logs.

${tableOf(own(AGENT_METRICS))}
`;
}

function own(table: MetricTable): MetricTable {
  return Object.fromEntries(Object.entries(table).filter(([name]) => !COMMON.has(name)));
}

function tableOf(table: MetricTable): string {
  return markdownTable(
    ['Metric', 'Kind', 'Labels', 'What it says'],
    Object.entries(table).map(([name, { kind, labels = [], help }]) => [
      `\`${name}\``,
      kind,
      labels.map((label) => `\`${label}\``).join(', '),
      help,
    ]),
  );
}
