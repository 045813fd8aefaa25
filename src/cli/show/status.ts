/** `interlock status` as people read it. Pure: a StatusReport in, lines out. */
import type { ClusterStatus, MovingService, ProxyStatus, StatusReport } from '../../wire/status-report.ts';
import { countText, findingLines } from './findings.ts';
import { pinText } from './revisions.ts';
import { age, type Cell, clusterName, type Paint, plain, plural, short, shortId, table } from './text.ts';

/** How a proxy stands to the newest artifact of its cluster. */
export type Standing =
  /** It serves it. `tookMs`: from core having it to the proxy's word; `undefined`: not in this life of core. */
  | { readonly kind: 'newest'; readonly tookMs: number | undefined }
  /** It serves another one, for so long after core got the newest. */
  | { readonly kind: 'behind'; readonly sinceMs: number | undefined }
  | { readonly kind: 'refused'; readonly reason: string }
  /** No word from its agent. */
  | { readonly kind: 'silent' };

export function standingOf(proxy: ProxyStatus, cluster: ClusterStatus, nowMs: number): Standing {
  const { artifactDigest: newest, renderedAtMs } = cluster;
  if (!proxy.connected || newest === undefined) {
    return { kind: 'silent' };
  }
  if (proxy.refused?.artifactDigest === newest) {
    return { kind: 'refused', reason: proxy.refused.reason };
  }
  if (proxy.artifactDigest === newest) {
    const { appliedAtMs } = proxy;
    const isKnown = appliedAtMs !== undefined && renderedAtMs !== undefined && appliedAtMs >= renderedAtMs;
    return { kind: 'newest', tookMs: isKnown ? appliedAtMs - renderedAtMs : undefined };
  }
  return { kind: 'behind', sinceMs: renderedAtMs === undefined ? undefined : Math.max(0, nowMs - renderedAtMs) };
}

/** Whether nobody has to do anything: every cluster has proxies, and all of them serve the newest revision. Findings do not count. */
export function isWell(report: StatusReport): boolean {
  return report.clusters.every(
    (cluster) =>
      cluster.extensionConnected &&
      cluster.refusedReason === undefined &&
      cluster.proxies.some(({ state }) => state === 'running') &&
      cluster.proxies.every((proxy) => standingOf(proxy, cluster, report.nowMs).kind === 'newest'),
  );
}

/** The documented shape of `interlock status --json`: the report, and what follows from it for each proxy. */
export function statusJson(report: StatusReport): unknown {
  return {
    ...report,
    clusters: report.clusters.map((cluster) => ({
      ...cluster,
      proxies: cluster.proxies.map((proxy) => ({
        ...proxy,
        standing: standingOf(proxy, cluster, report.nowMs),
        servesForMs: proxy.appliedAtMs === undefined ? undefined : Math.max(0, report.nowMs - proxy.appliedAtMs),
      })),
    })),
    well: isWell(report),
  };
}

export function statusLines(report: StatusReport, paint: Paint): readonly string[] {
  return [
    ...coreLines(report, paint),
    ...report.clusters.flatMap((cluster) => ['', ...clusterLines(cluster, report.nowMs, paint)]),
    ...movingLines(report.moving, paint),
    '',
    `${paint('strong', 'findings')}  ${countText(report.findings)}`,
    ...findingLines(report.findings, paint).map((line) => `  ${line}`),
  ];
}

function coreLines({ version, nowMs, startedAtMs, observedAtMs, taskFeed }: StatusReport, paint: Paint) {
  const { kind, reason } = taskFeed;
  return [
    `${paint('strong', 'core')}  ${plain(version)}, up ${age(nowMs - startedAtMs)}`,
    `  task feed  ${paint(kind === 'watch' ? 'good' : 'warn', kind)} (${short(reason)})`,
    ...(observedAtMs === undefined ? [`  ${paint('bad', 'no complete picture of this Swarm yet')}`] : []),
  ];
}

function clusterLines(cluster: ClusterStatus, nowMs: number, paint: Paint): readonly string[] {
  const { extension, serviceCluster, extensionConnected, extensionService, refusedReason, pinned } = cluster;
  const connected = extensionConnected
    ? paint('good', 'connected')
    : paint('bad', `not connected: docker service ps ${plain(extensionService)}`);
  return [
    `${paint('strong', 'cluster')}  ${clusterName(serviceCluster)}  [Extensions.${plain(extension)}]`,
    `  extension  ${connected}`,
    `  revision   ${revisionText(cluster, paint)}`,
    ...(pinned === undefined ? [] : [`  ${paint('warn', 'PINNED')}     ${paint('warn', pinnedText(pinned))}`]),
    ...(refusedReason === undefined ? [] : [`  ${paint('bad', 'refused')}    ${short(refusedReason, 1_000)}`]),
    ...deliveryLines(cluster, paint),
    ...proxyLines(cluster, nowMs, paint),
  ];
}

function pinnedText(pin: NonNullable<ClusterStatus['pinned']>): string {
  return `its routes are held at revision ${pinText(pin)}: changes of labels wait until interlock unpin`;
}

/** What core hands out, whether it is rendered, and whether the file is in Swarm for a proxy that starts while core is away. */
function revisionText({ published, rendered, artifactDigest, delivery }: ClusterStatus, paint: Paint): string {
  if (published === undefined) {
    return paint('warn', 'none yet');
  }
  const isRendered = rendered?.digest === published.digest;
  const oldText = `rendered is ${rendered === undefined ? 'none' : shortId(rendered.digest)}`;
  return [
    shortId(published.digest),
    isRendered ? 'rendered' : paint('warn', oldText),
    storedText(delivery?.storedConfig, artifactDigest, paint),
  ].join(', ');
}

/** The name of a Docker Config ends with the first digits of its artifact. */
function storedText(stored: string | undefined, artifactDigest: string | undefined, paint: Paint): string {
  if (stored === undefined) {
    return paint('dim', 'not stored yet');
  }
  const isNewest = artifactDigest !== undefined && stored.endsWith(`-${artifactDigest.slice(0, 8)}`);
  return isNewest ? `stored as ${plain(stored)}` : paint('dim', `stored is an older one, ${plain(stored)}`);
}

function deliveryLines({ delivery, proxyService }: ClusterStatus, paint: Paint): readonly string[] {
  if (delivery === undefined) {
    return [];
  }
  const { mode, fallback, pendingNetworks, pendingSecrets, rolling } = delivery;
  const pending = [
    ...pendingNetworks.map((name) => `network ${plain(name)}`),
    ...pendingSecrets.map((name) => `secret ${plain(name)}`),
  ];
  return [
    `  delivery   ${mode}${fallback === undefined ? '' : paint('warn', ` (${short(fallback)})`)}${rolling ? paint('warn', `, rolling ${plain(proxyService)}`) : ''}`,
    ...(pending.length === 0 ? [] : [`  ${paint('warn', 'pending')}    ${pending.join(', ')}: with the next roll`]),
  ];
}

function proxyLines(cluster: ClusterStatus, nowMs: number, paint: Paint): readonly string[] {
  const { proxies, proxyService } = cluster;
  if (proxies.length === 0) {
    return [`  proxies    ${paint('bad', `none: docker service ps ${plain(proxyService)}`)}`];
  }
  const rows = proxies.map((proxy): readonly (string | Cell)[] => [
    proxy.node === '' ? shortId(proxy.nodeId) : proxy.node,
    shortId(proxy.taskId),
    stateCell(proxy),
    standingCell(proxy, standingOf(proxy, cluster, nowMs)),
    proxy.appliedAtMs === undefined ? '' : age(nowMs - proxy.appliedAtMs),
  ]);
  const refused = proxies.flatMap((proxy) => {
    const standing = standingOf(proxy, cluster, nowMs);
    return standing.kind === 'refused'
      ? [`  ${paint('bad', 'refused')}    on ${plain(proxy.node)}: ${short(standing.reason, 1_000)}`]
      : [];
  });
  return [
    ...table([['NODE', 'PROXY', 'STATE', 'SERVES', 'FOR'], ...rows], paint).map((line) => `  ${line}`),
    ...refused,
  ];
}

function stateCell({ state, desiredState, connected }: ProxyStatus): Cell {
  const text = [
    state === '' ? 'not in Swarm' : state,
    ...(desiredState === 'running' || desiredState === '' ? [] : [`to ${desiredState}`]),
    ...(connected ? [] : ['no session']),
  ].join(', ');
  return { text, tone: state === 'running' && connected ? 'good' : 'warn' };
}

function standingCell({ artifactDigest }: ProxyStatus, standing: Standing): Cell {
  const serves = artifactDigest === undefined ? 'nothing yet' : shortId(artifactDigest);
  switch (standing.kind) {
    case 'newest':
      return { text: `newest${standing.tookMs === undefined ? '' : `, in ${standing.tookMs} ms`}`, tone: 'good' };
    case 'behind':
      return {
        text: `${serves}, behind${standing.sinceMs === undefined ? '' : ` ${age(standing.sinceMs)}`}`,
        tone: 'warn',
      };
    case 'refused':
      return { text: `${serves}, refused the newest`, tone: 'bad' };
    case 'silent':
      return { text: 'unknown', tone: 'warn' };
  }
}

function movingLines(moving: readonly MovingService[], paint: Paint): readonly string[] {
  if (moving.length === 0) {
    return [];
  }
  const rows = moving.map(({ service, running, wanted, updateState }) => [
    service,
    `${running}/${wanted}`,
    updateState === 'none' ? '' : updateState,
  ]);
  return [
    '',
    `${paint('strong', 'converging')}  ${plural(moving.length, 'service')}`,
    ...table([['SERVICE', 'TASKS', 'UPDATE'], ...rows], paint).map((line) => `  ${line}`),
  ];
}
