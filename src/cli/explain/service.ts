/** `interlock explain --service NAME`: "I labelled my service and nothing happens", answered in one call. Pure: what core tells goes in. */
import { LABEL_PREFIX } from '../../labels/label-table.ts';
import type { Finding } from '../../model/finding.ts';
import type { StatusReport } from '../../wire/status-report.ts';
import type { RoutesReport, ServiceView } from '../../wire/swarm-view.ts';
import { type RouteRow, routeRows } from '../show/routes.ts';
import { plural } from '../show/text.ts';
import { deliverySteps } from './delivery.ts';
import { bad, distinctFindings, note, ok, quotedCluster, type Step, type Verdict } from './explanation.ts';
import { isAboutSecrets, secretSteps, secretsOfService } from './secrets.ts';
import { taskStep } from './tasks.ts';

export interface ServiceFacts {
  readonly service: ServiceView;
  readonly status: StatusReport;
  readonly routes: RoutesReport;
}

/** The documented shape of one entry of `interlock explain --service NAME --json`. */
export interface ServiceExplanation {
  readonly service: string;
  readonly verdict: Verdict;
  readonly summary: string;
  /** Labels of the service that begin as ours do; those that are only alike are told of by findings. */
  readonly labels: Readonly<Record<string, string>>;
  /** Labels of ours on the containers, which are not read. */
  readonly misplaced: Readonly<Record<string, string>>;
  readonly serviceCluster: string;
  readonly networks: readonly string[];
  readonly routes: readonly RouteRow[];
  readonly steps: readonly Step[];
  readonly findings: readonly Finding[];
}

export function explainService({ service, status, routes }: ServiceFacts): ServiceExplanation {
  const { name, serviceCluster } = service;
  const own = routeRows(routes).filter(({ services }) => services.includes(name));
  const secrets = secretsOfService(routes, name);
  const findings = distinctFindings(
    status.findings.filter((finding) => finding.service === name || isAboutSecrets(finding, secrets)),
  );
  const labels = ours(service.labels);
  const misplaced = ours(service.containerLabels);
  const cluster = status.clusters.find((each) => each.serviceCluster === serviceCluster);
  const isLeftOut = findings.some(({ code }) => code === 'RENDER.SERVICE_LEFT_OUT');
  const steps: readonly Step[] = [
    ...labelSteps(service, labels, misplaced, findings),
    ...(service.reading === 'routed' ? clusterSteps(service, status) : []),
    ...routeSteps(service, own, isLeftOut),
    ...taskSteps(service, own),
    ...secretSteps(findings, secrets, 'both'),
    ...(own.length === 0 || cluster === undefined
      ? []
      : deliverySteps(cluster, status.nowMs, { network: own[0]?.network })),
  ];
  const worst = steps.find(({ state }) => state === 'bad');
  return {
    service: name,
    verdict: worst === undefined ? 'served' : 'not-served',
    summary: worst?.text ?? `${name} is served at ${addresses(own)}`,
    labels,
    misplaced,
    serviceCluster,
    networks: service.networks,
    routes: own,
    steps,
    findings,
  };
}

function ours(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(labels).filter(([label]) => label.startsWith(LABEL_PREFIX)));
}

const MOVE_THEM =
  'In the stack file move them from "labels:" of the service to "labels:" under "deploy:", then deploy again.';

function labelSteps(
  { reading }: ServiceView,
  labels: Readonly<Record<string, string>>,
  misplaced: Readonly<Record<string, string>>,
  findings: readonly Finding[],
): readonly Step[] {
  const count = Object.keys(labels).length;
  const lost = Object.keys(misplaced).filter((label) => !(label in labels));
  const alike = findings.filter(
    ({ code, subject }) => code === 'LABEL.UNKNOWN' && subject?.startsWith(LABEL_PREFIX) === false,
  );
  const misread = alike.map(({ subject = '', advice }) =>
    (count === 0 ? bad : note)(`the label ${subject} is not one of ours`, advice),
  );
  const onContainer =
    lost.length === 0
      ? []
      : [
          (count === 0 ? bad : note)(
            `${plural(lost.length, 'label')} ${lost.length === 1 ? 'is' : 'are'} on the containers, not on the service, and not read: ${lost.join(', ')}`,
            MOVE_THEM,
          ),
        ];
  const refused =
    findings.find(({ severity }) => severity === 'error') ??
    findings.find(({ code }) => code === 'LABEL.HOSTS_MISSING');
  const found = count === 0 ? [] : [ok(`${plural(count, 'label')} of ours on the service`)];
  switch (reading) {
    case 'routed':
      return [...found, ...onContainer, ...misread];
    case 'unusable':
      return [
        ...found,
        ...onContainer,
        ...misread,
        ...(count === 0
          ? []
          : [
              bad(
                `they cannot be used${refused === undefined ? '' : `: ${refused.subject ?? refused.code}`}`,
                refused?.advice,
              ),
            ]),
      ];
    case 'none':
      return [
        bad(
          'the service has no label of ours',
          `Add at least ${LABEL_PREFIX}hosts and ${LABEL_PREFIX}port, under "deploy: labels:" in a stack file, or with docker service update --label-add.`,
        ),
      ];
  }
}

function clusterSteps({ serviceCluster }: ServiceView, { clusters }: StatusReport): readonly Step[] {
  const cluster = clusters.find((each) => each.serviceCluster === serviceCluster);
  const known = clusters.map((each) => `"${each.serviceCluster}"`).join(', ');
  return cluster === undefined
    ? [
        bad(
          `no extension in config.toml has the ServiceCluster "${serviceCluster}"`,
          `Write one of: ${known} ("" is the default one, without the label).`,
        ),
      ]
    : [ok(`routed by ${quotedCluster(serviceCluster)}, [Extensions.${cluster.extension}]`)];
}

function routeSteps({ reading, networks }: ServiceView, own: readonly RouteRow[], isLeftOut: boolean): readonly Step[] {
  if (reading !== 'routed') {
    return [];
  }
  if (own.length === 0) {
    const on = networks.length === 0 ? 'it is on no overlay network' : `it is on ${networks.join(', ')}`;
    return [bad(`no route came of it, and ${on}; the findings say why`)];
  }
  return isLeftOut
    ? [
        bad(
          "NGINX refused what its labels make, so it is left out of the proxies' file; the findings have NGINX's words",
        ),
      ]
    : [ok(`routed at ${addresses(own)}`)];
}

function addresses(rows: readonly RouteRow[]): string {
  const shown = rows
    .slice(0, 10)
    .map(({ host, path = '', tls }) => `${tls === 'passthrough' ? 'https://' : ''}${host}${path}`);
  return `${shown.join(', ')}${rows.length > shown.length ? ` and ${rows.length - shown.length} more` : ''}`;
}

function taskSteps(service: ServiceView, own: readonly RouteRow[]): readonly Step[] {
  if (own.length === 0) {
    return [];
  }
  const endpoints = Math.max(...own.map((row) => row.endpoints.length));
  const tasks = taskStep(service);
  return endpoints > 0
    ? [tasks.state === 'bad' ? note(tasks.text, tasks.advice) : tasks]
    : [tasks, bad('none of its tasks can be reached, so its routes answer 503', 'The findings, if any, say why.')];
}
