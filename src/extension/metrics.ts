/** The extension's metrics, taken at its doors: what it renders, asks NGINX and tells core. */
import type { Clock } from '../runtime/clock.ts';
import { createMetrics, type MetricTable, STAGE_METRIC } from '../runtime/metrics.ts';
import type { Readiness } from '../runtime/probe-server.ts';
import { PROCESS_METRICS, readProcess } from '../runtime/process-metrics.ts';
import { watchedClient } from '../wire/watched-client.ts';
import type { SessionParts } from './session.ts';

export const EXTENSION_METRICS = {
  ...STAGE_METRIC,
  interlock_extension_ready: { kind: 'gauge', help: '1 once core took a configuration of this extension' },
  interlock_extension_core_connected: { kind: 'gauge', help: '1 while it follows the model of its cluster' },
  interlock_extension_revisions_total: { kind: 'counter', help: 'Revisions of the model that came from core' },
  interlock_extension_artifacts_total: {
    kind: 'counter',
    help: 'Configurations handed in, by what core answered',
    labels: ['outcome'],
  },
  interlock_extension_revisions_refused_total: {
    kind: 'counter',
    help: 'Revisions that could not be rendered or that NGINX refused in the check',
  },
  interlock_extension_checks_total: {
    kind: 'counter',
    help: 'Checks by NGINX (nginx -t), whole files and changed parts, by outcome',
    labels: ['outcome'],
  },
  interlock_extension_core_errors_total: {
    kind: 'counter',
    help: 'Calls to core that failed, by code (docs/codes.md)',
    labels: ['call', 'code'],
  },
  ...PROCESS_METRICS,
} as const satisfies MetricTable;

/** The stages that an extension measures by its own clock. */
export const EXTENSION_STAGES = {
  render: 'extension: printing the file',
  check: 'extension: one check by NGINX, of the whole file or of what changed',
  submit: 'extension: handing the file to core',
} as const;

type Doors = Pick<SessionParts, 'client' | 'render' | 'check'>;

export interface ExtensionMetrics {
  readonly text: () => Promise<string>;
  readonly ready: () => Readiness;
  /** The same, counted and timed. */
  watched(doors: Doors & { readonly client: Parameters<typeof watchedClient>[0] }): Doors;
}

export function createExtensionMetrics(version: string, clock: Pick<Clock, 'monotonic'>): ExtensionMetrics {
  const metrics = createMetrics(EXTENSION_METRICS);
  let isReady = false;
  readProcess(metrics, { component: 'extension', version });
  const stage = (name: keyof typeof EXTENSION_STAGES, begunAt: number): void =>
    metrics.observe('interlock_convergence_stage_seconds', { stage: name }, clock.monotonic() - begunAt);

  return {
    text: () => metrics.text(),
    ready: () =>
      isReady
        ? { ready: true, words: 'ready: core took a configuration' }
        : { ready: false, words: 'no configuration was taken by core yet' },
    watched({ client, render, check }) {
      const heard = watchedClient(client, {
        onFailure: (call, code) => metrics.add('interlock_extension_core_errors_total', { call, code }),
        onConnected: (connected) => metrics.set('interlock_extension_core_connected', {}, connected),
      });
      return {
        render(model, options, context) {
          const begunAt = clock.monotonic();
          const rendered = render(model, options, context);
          stage('render', begunAt);
          return rendered;
        },
        async check(files, mainPath, signal) {
          const begunAt = clock.monotonic();
          const outcome = await check(files, mainPath, signal);
          stage('check', begunAt);
          metrics.add('interlock_extension_checks_total', { outcome: outcome.kind });
          return outcome;
        },
        client: {
          async *watchModel(have, signal) {
            for await (const message of heard.watchModel(have, signal)) {
              metrics.add('interlock_extension_revisions_total', {});
              yield message;
            }
          },
          async submitArtifact(submission, signal) {
            const begunAt = clock.monotonic();
            const outcome = await heard.submitArtifact(submission, signal);
            stage('submit', begunAt);
            metrics.add('interlock_extension_artifacts_total', { outcome: outcome.kind });
            isReady ||= outcome.kind === 'accepted';
            metrics.set('interlock_extension_ready', {}, isReady);
            return outcome;
          },
          async refuseRevision(refusal, signal) {
            metrics.add('interlock_extension_revisions_refused_total', {});
            await heard.refuseRevision(refusal, signal);
          },
        },
      };
    },
  };
}
