/** Whether the proxies serve what the model says, and what keeps them. Pure. */
import type { ClusterStatus, ProxyStatus } from '../../wire/status-report.ts';
import { pinText } from '../show/revisions.ts';
import { type Standing, standingOf } from '../show/status.ts';
import { shortId } from '../show/text.ts';
import { bad, note, ok, type Step } from './explanation.ts';

/** What a route needs of a proxy. */
export interface Needs {
  readonly network?: string | undefined;
  readonly secrets?: readonly string[];
}

export function deliverySteps(cluster: ClusterStatus, nowMs: number, needs: Needs = {}): readonly Step[] {
  return [
    ...pinSteps(cluster),
    ...renderSteps(cluster),
    ...proxySteps(cluster, nowMs),
    ...pendingSteps(cluster, needs),
  ];
}

function pinSteps({ pinned }: ClusterStatus): readonly Step[] {
  return pinned === undefined
    ? []
    : [
        note(
          `the routes of this cluster are held at revision ${pinText(pinned)}: changes of labels wait`,
          'interlock unpin',
        ),
      ];
}

function renderSteps({
  extension,
  extensionConnected,
  extensionService,
  published,
  rendered,
  refusedReason,
}: ClusterStatus): readonly Step[] {
  const isOld = rendered?.digest !== published?.digest;
  const steps: Step[] = [];
  if (!extensionConnected) {
    const text = `the extension of [Extensions.${extension}] is not connected: the proxies keep what they have`;
    steps.push((isOld ? bad : note)(text, `docker service ps --no-trunc ${extensionService}`));
  }
  if (refusedReason !== undefined) {
    steps.push(bad(`NGINX's check refused the newest revision, the last good one keeps serving: ${refusedReason}`));
  } else if (extensionConnected && isOld) {
    steps.push(note('the newest revision is being rendered'));
  }
  return steps;
}

function proxySteps(cluster: ClusterStatus, nowMs: number): readonly Step[] {
  const { proxies, proxyService, delivery } = cluster;
  const running = proxies.filter(({ state }) => state === 'running');
  if (running.length === 0) {
    return [
      bad(`no task of ${proxyService} runs, so there is no proxy`, `docker service ps --no-trunc ${proxyService}`),
    ];
  }
  const standings = running.map((proxy) => ({ proxy, standing: standingOf(proxy, cluster, nowMs) }));
  const newest = standings.filter(({ standing }) => standing.kind === 'newest');
  const steps = standings.flatMap(({ proxy, standing }) => standingSteps(proxy, standing));
  const rolling = delivery?.rolling === true ? [note(`${proxyService} is being rolled`)] : [];
  const nodes = newest.map(({ proxy }) => proxy.node).join(', ');
  const most = newest.length > 0 ? ok : bad;
  const count = `${newest.length} of ${running.length} proxies serve the newest file`;
  return [most(newest.length > 0 ? `${count}: ${nodes}` : count), ...steps, ...rolling];
}

function standingSteps({ node, artifactDigest }: ProxyStatus, standing: Standing): readonly Step[] {
  switch (standing.kind) {
    case 'newest':
      return [];
    case 'refused':
      return [
        bad(`the proxy on ${node} keeps its last file, because its NGINX refused the newest: ${standing.reason}`),
      ];
    case 'behind':
      return [note(`the proxy on ${node} still serves ${serves(artifactDigest)}`)];
    case 'silent':
      return [note(`the proxy on ${node} has no session with core: what it serves is not known`)];
  }
}

function serves(digest: string | undefined): string {
  return digest === undefined ? 'nothing' : `an older file (${shortId(digest)})`;
}

function pendingSteps({ delivery, proxyService }: ClusterStatus, { network, secrets = [] }: Needs): readonly Step[] {
  const steps: Step[] = [];
  if (network !== undefined && delivery?.pendingNetworks.includes(network) === true) {
    steps.push(
      bad(
        `the proxies are not on the network ${network} yet: 503 until ${proxyService} is rolled, which core does by itself`,
      ),
    );
  }
  for (const secret of secrets.filter((name) => delivery?.pendingSecrets.includes(name) === true)) {
    steps.push(bad(`the proxies do not have the secret ${secret} yet: no TLS until ${proxyService} is rolled`));
  }
  return steps;
}
