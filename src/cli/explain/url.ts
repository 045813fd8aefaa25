/**
 * `interlock explain URL`: which cluster, route, pool and endpoints answer, or why nobody does. Pure: what core tells goes in. Who answers
 * is decided by `answerOf` of the model, which a test holds to NGINX; the rest is what stands between the model and a client.
 */
import { type Answer, answerOf, hostOf, type WebRequest } from '../../model/answer.ts';
import type { ClusterHeader, HostTls, Pool } from '../../model/cluster.ts';
import type { Finding } from '../../model/finding.ts';
import { nearestName } from '../../model/nearest-name.ts';
import type { ClusterStatus, StatusReport } from '../../wire/status-report.ts';
import type { ClusterRoutes, NodeView, RoutesReport, ServicesReport, ServiceView } from '../../wire/swarm-view.ts';
import { type EndpointRow, endpointRow } from '../show/routes.ts';
import { plural } from '../show/text.ts';
import { deliverySteps } from './delivery.ts';
import { bad, distinctFindings, note, ok, quotedCluster, type Step, type Verdict } from './explanation.ts';
import { authoritiesOf, isAboutSecrets, type NeededSecrets, secretSteps, tlsSecrets } from './secrets.ts';
import { taskStep } from './tasks.ts';

export interface UrlFacts {
  readonly url: string;
  readonly request: WebRequest;
  /** `--cluster`. */
  readonly cluster: string | undefined;
  readonly status: StatusReport;
  readonly routes: RoutesReport;
  /** Those of the pool that answers, and those whose labels mention the host. */
  readonly services: ServicesReport;
}

/** The documented shape of `interlock explain URL --json`. */
export interface UrlExplanation {
  readonly url: string;
  readonly verdict: Verdict;
  readonly summary: string;
  /** What the client gets without a service's answer: 308, 404, 503, ... `undefined`: the service's own, or no HTTP at all. */
  readonly status: number | undefined;
  readonly serviceCluster: string | undefined;
  readonly extension: string | undefined;
  /** The entry that matched, e.g. `*.example.com`. */
  readonly host: string | undefined;
  readonly path: string | undefined;
  readonly redirectTo: string | undefined;
  readonly services: readonly string[];
  readonly network: string | undefined;
  readonly endpoints: readonly EndpointRow[];
  readonly steps: readonly Step[];
  readonly findings: readonly Finding[];
}

/** Names of the services that `UrlFacts.services` has to tell of. */
export function servicesBehind(facts: Pick<UrlFacts, 'request' | 'cluster' | 'routes'>): readonly string[] {
  const chosen = chooseCluster(facts);
  return chosen === undefined ? [] : (poolOf(answerFor(chosen, facts.request))?.services ?? []);
}

export function explainUrl(facts: UrlFacts): UrlExplanation {
  const { url, request, cluster, routes, status } = facts;
  const chosen = chooseCluster(facts);
  if (chosen === undefined) {
    const known = status.clusters.map(({ serviceCluster }) => `"${serviceCluster}"`).join(', ');
    const summary =
      cluster === undefined
        ? 'core has no model yet'
        : `no extension in config.toml has the ServiceCluster "${cluster}", or it has no model yet; known: ${known}`;
    return { ...EMPTY, url, summary, steps: [bad(summary)] };
  }
  const answer = answerFor(chosen, request);
  const { header } = chosen.model;
  const own = status.clusters.find(({ extension }) => extension === header.extension);
  const findings = findingsFor(answer, facts, header);
  const nodes = new Map(routes.nodes.map((node) => [node.id, node]));
  const steps = [
    ...clusterSteps(chosen, facts),
    ...answerSteps(answer, facts, chosen),
    ...leftOutSteps(answer, findings),
    ...secretSteps(findings, secretsOf(answer, header), request.scheme),
    ...(own === undefined ? [] : deliverySteps(own, status.nowMs, needsOf(answer, header))),
    ...portSteps(chosen, request),
  ];
  const isBad = steps.some(({ state }) => state === 'bad');
  return {
    ...EMPTY,
    ...partsOf(answer, nodes),
    url,
    verdict: isBad ? 'not-served' : answer.kind === 'redirect' ? 'redirected' : 'served',
    summary: summaryOf(answer, steps, own),
    serviceCluster: header.serviceCluster,
    extension: header.extension,
    steps,
    findings,
  };
}

const EMPTY: UrlExplanation = {
  url: '',
  verdict: 'not-served',
  summary: '',
  status: undefined,
  serviceCluster: undefined,
  extension: undefined,
  host: undefined,
  path: undefined,
  redirectTo: undefined,
  services: [],
  network: undefined,
  endpoints: [],
  steps: [],
  findings: [],
};

/** The one asked for; else the one whose port is in the URL; else the first that has the host, the default cluster before others. */
function chooseCluster({
  routes: { clusters },
  request,
  cluster,
}: Pick<UrlFacts, 'routes' | 'request' | 'cluster'>): ClusterRoutes | undefined {
  if (cluster !== undefined) {
    return clusters.find(({ model }) => model.header.serviceCluster === cluster);
  }
  const ordered = [...clusters].sort(
    (a, b) => Number(a.model.header.serviceCluster !== '') - Number(b.model.header.serviceCluster !== ''),
  );
  const listening =
    request.port === undefined ? [] : ordered.filter((one) => publishedPort(one, request) === request.port);
  const candidates = listening.length > 0 ? listening : ordered;
  return candidates.find((one) => hostOf(one.model.hosts, request.host) !== undefined) ?? candidates[0];
}

function publishedPort({ model }: ClusterRoutes, { scheme }: WebRequest): number | undefined {
  return scheme === 'http' ? model.header.published.http : model.header.published.tls;
}

function answerFor({ model }: ClusterRoutes, request: WebRequest): Answer {
  return answerOf(model, request, { publicTlsPort: publicTlsPort(model.header.optionsJson) });
}

/** The only key of the extension's Config that has a say in who answers. */
function publicTlsPort(optionsJson: string): number | undefined {
  const options: unknown = JSON.parse(optionsJson);
  const port = typeof options === 'object' && options !== null ? Object.entries(options) : [];
  const [, value] = port.find(([key]) => key === 'PublicSSLPort') ?? [];
  return typeof value === 'number' ? value : undefined;
}

function poolOf(answer: Answer): Pool | undefined {
  return answer.kind === 'pool' || answer.kind === 'passthrough' ? answer.pool : undefined;
}

function partsOf(answer: Answer, nodes: ReadonlyMap<string, NodeView>) {
  const pool = poolOf(answer);
  return {
    status: statusOf(answer),
    host: 'host' in answer ? answer.host.host : undefined,
    path: answer.kind === 'pool' ? answer.route?.prefix : undefined,
    redirectTo: answer.kind === 'redirect' ? answer.to : undefined,
    services: pool?.services ?? [],
    network: pool?.network.kind === 'overlay' ? pool.network.name : undefined,
    endpoints: (pool?.endpoints ?? []).map((endpoint) => endpointRow(endpoint, nodes)),
  };
}

function statusOf(answer: Answer): number | undefined {
  switch (answer.kind) {
    case 'pool':
      return answer.pool.endpoints.length === 0 ? 503 : undefined;
    case 'redirect':
      return answer.status;
    case 'unknown-host':
      return 503;
    case 'unknown-path':
      return 404;
    case 'bad-request':
      return 400;
    case 'passthrough':
    case 'handshake-refused':
      return undefined;
  }
}

function needsOf(answer: Answer, { defaultTls }: ClusterHeader) {
  const pool = poolOf(answer);
  const unclaimed = answer.kind === 'pool' ? defaultTls : undefined;
  const tls: HostTls | undefined = 'host' in answer ? answer.host.tls : unclaimed;
  return {
    network: pool?.network.kind === 'overlay' ? pool.network.name : undefined,
    secrets: tlsSecrets(tls),
  };
}

function secretsOf(answer: Answer, header: ClusterHeader): NeededSecrets {
  return { tls: needsOf(answer, header).secrets, authorities: authoritiesOf(poolOf(answer)) };
}

function clusterSteps(chosen: ClusterRoutes, { routes, request, cluster }: UrlFacts): readonly Step[] {
  const { serviceCluster, extension } = chosen.model.header;
  const others = routes.clusters.filter((one) => one !== chosen && hostOf(one.model.hosts, request.host) !== undefined);
  const names = others.map(({ model }) => quotedCluster(model.header.serviceCluster)).join(', ');
  const isHere = hostOf(chosen.model.hosts, request.host) !== undefined;
  const elsewhere = isHere
    ? note(`${names} has this host too; its proxies answer by their own routes (--cluster)`)
    : bad(
        `the host belongs to ${names}${cluster === undefined ? '' : `, not to ${quotedCluster(cluster)}`}`,
        'Ask the proxies of that cluster, or change com.docker.lb.service_cluster of the service.',
      );
  return [
    ok(`asked of the proxies of ${quotedCluster(serviceCluster)}, [Extensions.${extension}]`),
    ...(others.length === 0 ? [] : [elsewhere]),
  ];
}

function answerSteps(answer: Answer, facts: UrlFacts, chosen: ClusterRoutes): readonly Step[] {
  switch (answer.kind) {
    case 'pool':
      return [...matchSteps(answer, facts.request), ...poolSteps(answer.pool, facts)];
    case 'passthrough':
      return [
        ok(`${matched(answer.host?.host, facts.request)}; TLS is passed on unopened, the service has the certificate`),
        ...poolSteps(answer.pool, facts),
      ];
    case 'redirect':
      return [ok(matched(answer.host?.host, facts.request)), ok(redirectText(answer))];
    case 'unknown-host':
      return unknownHostSteps(answer, facts, chosen);
    case 'unknown-path':
      return [
        ok(matched(answer.host.host, facts.request)),
        bad(
          `no route of it covers ${facts.request.path}: 404; it has ${answer.host.routes.map(({ prefix }) => prefix).join(', ') || 'none'}`,
          'Add a service with another com.docker.lb.context_root, or leave the label out for all paths.',
        ),
      ];
    case 'handshake-refused':
      return refusedSteps(answer, facts, chosen);
    case 'bad-request':
      return [bad('NGINX answers 400: the path climbs above /, or is not well encoded')];
  }
}

function matchSteps({ host, route }: Extract<Answer, { kind: 'pool' }>, request: WebRequest): readonly Step[] {
  const path = route === undefined ? '' : `; of its paths ${route.prefix} is the longest that covers ${request.path}`;
  const cut =
    route?.rewrite === true && route.prefix !== '/' ? `; ${route.prefix} is cut off before the service sees it` : '';
  const tls =
    request.scheme === 'https' && host?.tls.kind === 'terminate'
      ? `; TLS ends at the proxy with the secret ${host.tls.certificate.secret}`
      : '';
  return [ok(`${matched(host?.host, request)}${tls}${path}${cut}`)];
}

function matched(host: string | undefined, { host: asked }: WebRequest): string {
  if (host === undefined) {
    return `nobody claimed ${asked}: the default backend answers`;
  }
  return host === asked ? `the host ${host} is claimed by name` : `${asked} is covered by the wildcard ${host}`;
}

function poolSteps(
  { services, endpoints, network }: Pool,
  { services: { services: views } }: UrlFacts,
): readonly Step[] {
  const own = services.flatMap((name) => views.find((view) => view.name === name) ?? []);
  const where = network.kind === 'overlay' ? `on the network ${network.name}` : 'at their nodes';
  const head = `served by ${services.join(', ')} ${where}`;
  return endpoints.length > 0
    ? [
        ok(`${head}: ${plural(endpoints.length, 'endpoint')}`),
        ...own.map(taskStep).filter(({ state }) => state !== 'bad'),
      ]
    : [bad(`${head}: no endpoint, so 503`), ...own.map(taskStep)];
}

function redirectText({ status, to, by }: Extract<Answer, { kind: 'redirect' }>): string {
  return `${status} to ${to}, ${by === 'label' ? 'by com.docker.lb.redirects' : 'because plain HTTP has to go to https (ssl_only)'}`;
}

function unknownHostSteps(
  { host }: Extract<Answer, { kind: 'unknown-host' }>,
  facts: UrlFacts,
  chosen: ClusterRoutes,
): readonly Step[] {
  const { request } = facts;
  if (host !== undefined) {
    return [
      bad(
        `${host.host} has its TLS passed through, so it answers on https alone: plain HTTP gets 503`,
        `Ask https, or add com.docker.lb.redirects, e.g. "http://${request.host},https://${request.host}".`,
      ),
    ];
  }
  return [bad(`no service claims the host ${request.host} here: 503`), ...whoMeantIt(facts, chosen)];
}

/** Services whose labels have the host and yet are not routed here, and names that are nearly the same. */
function whoMeantIt({ request, services: { services } }: UrlFacts, { model }: ClusterRoutes): readonly Step[] {
  const near = nearestName(
    request.host,
    model.hosts.map(({ host }) => host),
  );
  const meant = services.flatMap((service) => whyNotRouted(service, request.host, model.header.serviceCluster));
  const none =
    meant.length === 0
      ? [
          note(
            `no label of any service mentions ${request.host}`,
            'Add com.docker.lb.hosts to the service, under deploy: labels: in a stack file.',
          ),
        ]
      : meant;
  return [...none, ...(near === undefined ? [] : [note(`there is a host ${near}: did you mean that?`)])];
}

function whyNotRouted(
  { name, reading, serviceCluster, hosts, containerLabels }: ServiceView,
  host: string,
  here: string,
): readonly Step[] {
  const advice = `interlock explain --service ${name}`;
  if (reading === 'routed' && hosts.includes(host)) {
    return serviceCluster === here
      ? [note(`the service ${name} asks for ${host} and is not routed; its findings say why`, advice)]
      : [
          note(
            `the service ${name} asks for ${host} in ${quotedCluster(serviceCluster)}`,
            `Write --cluster "${serviceCluster}" here, or change com.docker.lb.service_cluster there.`,
          ),
        ];
  }
  const onContainer = Object.values(containerLabels).some((value) => value.toLowerCase().includes(host));
  return [
    note(
      `the service ${name} mentions ${host} in ${onContainer ? "its containers' labels, which are not read" : 'a label, and is not routed'}`,
      advice,
    ),
  ];
}

function refusedSteps(
  { host, why }: Extract<Answer, { kind: 'handshake-refused' }>,
  facts: UrlFacts,
  chosen: ClusterRoutes,
): readonly Step[] {
  const { request } = facts;
  switch (why) {
    case 'unknown':
      return [
        bad(`no service claims the host ${request.host} here: the TLS handshake is refused`),
        ...whoMeantIt(facts, chosen),
      ];
    case 'lost':
      return [
        ...(host === undefined ? [] : [ok(matched(host.host, request))]),
        bad('its certificate does not exist as a Docker secret: the TLS handshake is refused'),
      ];
    case 'no-tls':
      return [
        ok(matched(host?.host, request)),
        bad('it has no certificate: the TLS handshake is refused', 'Add com.docker.lb.ssl_cert, or ask http.'),
      ];
  }
}

/** The model has it, and the extension left it out of the file because NGINX refused it. */
function leftOutSteps(answer: Answer, findings: readonly Finding[]): readonly Step[] {
  const services = poolOf(answer)?.services ?? [];
  return findings
    .filter(({ code, service }) => code === 'RENDER.SERVICE_LEFT_OUT' && services.includes(service ?? ''))
    .map(({ service, advice }) => bad(`${service ?? ''} is left out of the proxies' file: ${advice}`));
}

/** A port that no proxy of the cluster publishes is somebody else's, an outer balancer's for example. */
function portSteps(chosen: ClusterRoutes, request: WebRequest): readonly Step[] {
  const asked = request.port ?? (request.scheme === 'http' ? 80 : 443);
  const published = publishedPort(chosen, request);
  if (published === undefined || published === asked) {
    return [];
  }
  return [
    note(
      `the proxies publish ${request.scheme} on port ${published}; port ${asked} must lead there (a balancer in front, or a typo)`,
    ),
  ];
}

/** Of the services at hand, of the cluster as a whole, and of the secrets that the host uses. */
function findingsFor(
  answer: Answer,
  { status, services, request }: UrlFacts,
  header: ClusterHeader,
): readonly Finding[] {
  const names = new Set([...(poolOf(answer)?.services ?? []), ...services.services.map(({ name }) => name)]);
  const secrets = secretsOf(answer, header);
  return distinctFindings(
    status.findings.filter(
      (finding) =>
        (finding.service !== undefined && names.has(finding.service)) ||
        isAboutSecrets(finding, secrets) ||
        finding.value === request.host ||
        (finding.service === undefined &&
          finding.serviceCluster === header.serviceCluster &&
          CLUSTER_WIDE.test(finding.code)),
    ),
  );
}

const CLUSTER_WIDE = /^(?:DELIVERY|PUBLISH|RENDER)\./;

function summaryOf(answer: Answer, steps: readonly Step[], cluster: ClusterStatus | undefined): string {
  const worst = steps.find(({ state }) => state === 'bad');
  if (worst !== undefined) {
    return worst.text;
  }
  const behind = cluster?.proxies.length ?? 0;
  switch (answer.kind) {
    case 'pool':
    case 'passthrough':
      return `${answer.pool.services.join(', ')} answers, from ${plural(answer.pool.endpoints.length, 'endpoint')} through ${plural(behind, 'proxy', 'proxies')}`;
    case 'redirect':
      return redirectText(answer);
    case 'unknown-host':
    case 'unknown-path':
    case 'handshake-refused':
    case 'bad-request':
      return 'nobody answers';
  }
}
