/** What the process itself costs, under the names that every Prometheus client uses. Read when asked for: nothing runs in between. */
import { readdir } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import type { Metrics, MetricTable } from './metrics.ts';

export const PROCESS_METRICS = {
  interlock_build_info: {
    kind: 'gauge',
    help: 'Always 1; the labels say what runs',
    labels: ['component', 'version', 'node'],
  },
  process_start_time_seconds: { kind: 'gauge', help: 'When the process started, in seconds since the epoch' },
  process_cpu_seconds_total: { kind: 'counter', help: 'Processor time of this process, without its children' },
  process_resident_memory_bytes: { kind: 'gauge', help: 'Memory of this process, without its children' },
  process_open_fds: { kind: 'gauge', help: 'Open files and sockets' },
  nodejs_heap_size_used_bytes: { kind: 'gauge', help: 'JavaScript heap in use' },
  nodejs_heap_size_total_bytes: { kind: 'gauge', help: 'JavaScript heap taken from the system' },
  nodejs_eventloop_active_seconds_total: {
    kind: 'counter',
    help: 'Time the event loop was busy: a rate near 1 means that it cannot keep up',
  },
} as const satisfies MetricTable;

export function readProcess(
  metrics: Metrics<typeof PROCESS_METRICS>,
  about: { readonly component: string; readonly version: string },
): void {
  metrics.onScrape(async () => {
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed, heapTotal } = process.memoryUsage();
    metrics.set('interlock_build_info', { ...about, node: process.versions.node }, 1);
    metrics.set('process_start_time_seconds', {}, performance.timeOrigin / 1_000);
    metrics.total('process_cpu_seconds_total', {}, (user + system) / 1_000_000);
    metrics.set('process_resident_memory_bytes', {}, rss);
    metrics.set('nodejs_heap_size_used_bytes', {}, heapUsed);
    metrics.set('nodejs_heap_size_total_bytes', {}, heapTotal);
    metrics.total('nodejs_eventloop_active_seconds_total', {}, performance.eventLoopUtilization().active / 1_000);
    metrics.set('process_open_fds', {}, (await readdir('/proc/self/fd')).length);
  });
}
