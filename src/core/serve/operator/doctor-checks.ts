/** Facts about core, its Swarm and the routed services to checks. Pure; what cannot be told is `unknown`, never `ok`. */
import type { Finding, FindingCode } from '../../../model/finding.ts';
import type { Node, Service, Snapshot } from '../../../model/snapshot.ts';
import type { ServiceCare } from '../../../snapshot/service-care.ts';
import type { Check, Verdict } from '../../../wire/diagnosis.ts';
import type { ClusterStatus, StatusReport } from '../../../wire/status-report.ts';
import type { ConfigObject, EngineInfo, TaskFate } from '../../engine/engine-api.ts';

/** What was asked for, or the words of whoever would not answer. */
export type Asked<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly words: string };

export interface DoctorFacts {
  readonly engine: Asked<EngineInfo>;
  readonly status: StatusReport;
  readonly snapshot: Snapshot | undefined;
  /** Services with an intent; `care` is missing where the Engine did not tell. */
  readonly routed: readonly { readonly service: Service; readonly care: ServiceCare | undefined }[];
  /** One per cluster of `status`. */
  readonly proxies: readonly ProxyFacts[];
  /** Docker Configs that core made for rendered files. */
  readonly configs: Asked<readonly ConfigObject[]>;
}

export interface ProxyFacts {
  readonly extension: string;
  readonly wanted: number;
  readonly service: Service | undefined;
  readonly fates: Asked<readonly TaskFate[]>;
}

export function diagnose(facts: DoctorFacts): readonly Check[] {
  return [
    engineCheck(facts),
    ...swarmChecks(facts),
    feedCheck(facts),
    extensionsCheck(facts),
    proxiesCheck(facts),
    deliveryCheck(facts),
    networksCheck(facts),
    portsCheck(facts),
    placementCheck(facts),
    clientsCheck(facts),
    tasksCheck(facts),
    healthCheck(facts),
    updateCheck(facts),
    graceCheck(facts),
    configsCheck(facts),
    findingsCheck(facts),
  ];
}

/** More names help nobody. */
const MAX_ABOUT = 20;

function check(
  id: string,
  verdict: Verdict,
  seen: string,
  more: { readonly todo?: string; readonly about?: readonly string[] } = {},
): Check {
  return {
    id,
    verdict,
    seen,
    todo: verdict === 'ok' ? undefined : more.todo,
    about: (more.about ?? []).slice(0, MAX_ABOUT),
  };
}

function engineCheck({ engine }: DoctorFacts): Check {
  return engine.ok
    ? check('engine.version', 'ok', `Docker ${engine.value.engineVersion}, API ${engine.value.apiVersion}`)
    : check('engine.version', 'bad', `the Docker API does not answer: ${engine.words}`, {
        todo: 'Check DockerURL in config.toml, and that the socket is mounted in core. Proxies serve on meanwhile.',
      });
}

function swarmChecks({ engine, snapshot }: DoctorFacts): readonly Check[] {
  if (!engine.ok || snapshot === undefined) {
    return [
      check('swarm', 'unknown', 'there is no complete picture of this Swarm yet', {
        todo: 'Try again in a few seconds.',
      }),
    ];
  }
  const isManager = engine.value.swarm === 'active' && engine.value.isManager;
  const role = isManager
    ? check('swarm.manager', 'ok', 'core runs on a manager of an active Swarm')
    : check('swarm.manager', 'bad', `the engine is no manager; its Swarm is ${engine.value.swarm}`, {
        todo: 'Run core on a manager: constraint node.role==manager.',
      });
  return [role, quorumCheck(snapshot.nodes), nodesCheck(snapshot.nodes)];
}

function quorumCheck(nodes: readonly Node[]): Check {
  const managers = nodes.filter(({ role }) => role === 'manager');
  const away = managers.filter(({ state }) => state !== 'ready');
  const ready = managers.length - away.length;
  const seen = `${ready} of ${managers.length} ${managers.length === 1 ? 'manager is' : 'managers are'} ready`;
  const about = away.map(nameOf);
  if (ready * 2 <= managers.length) {
    return check('swarm.quorum', 'bad', seen, {
      todo: 'Bring managers back: a Swarm needs more than half of them.',
      about,
    });
  }
  if (away.length > 0) {
    return check('swarm.quorum', 'warn', seen, {
      todo: 'Bring them back, or remove them: docker node demote, docker node rm.',
      about,
    });
  }
  return managers.length % 2 === 0
    ? check('swarm.quorum', 'warn', `${seen}, an even number`, {
        todo: 'Add or demote one: an even number survives no more losses than one less.',
      })
    : check('swarm.quorum', 'ok', seen);
}

function nodesCheck(nodes: readonly Node[]): Check {
  const away = nodes.filter(({ role, state }) => role === 'worker' && state !== 'ready');
  return away.length === 0
    ? check('swarm.nodes', 'ok', `${nodes.length} ${nodes.length === 1 ? 'node' : 'nodes'}, all workers ready`)
    : check('swarm.nodes', 'warn', `${away.length} of ${nodes.length} nodes away`, {
        todo: 'Bring them back, or remove them with docker node rm.',
        about: away.map(nameOf),
      });
}

function nameOf({ hostname, id }: Node): string {
  return hostname === '' ? id : hostname;
}

function feedCheck({ status }: DoctorFacts): Check {
  const { kind, reason } = status.taskFeed;
  if (kind === 'watch') {
    return check('feed', 'ok', "task changes come over the manager's control socket as they happen");
  }
  return reason.startsWith('TaskFeed = ')
    ? check('feed', 'ok', `task changes are polled: ${reason}`)
    : check('feed', 'warn', `task changes are polled, which is slower: ${reason}`, {
        todo: 'Mount the directory /var/run/docker/swarm into core, or set TaskFeed = "poll" if that is meant.',
      });
}

function extensionsCheck({ status }: DoctorFacts): Check {
  const away = status.clusters.filter(({ extensionConnected }) => !extensionConnected);
  return away.length === 0
    ? check('extensions', 'ok', `connected: ${status.clusters.length} of ${status.clusters.length}`)
    : check('extensions', 'bad', 'an extension has no session with core: changes do not reach its proxies', {
        todo: 'See why it does not run, or cannot reach core on the control network: docker service ps, docker service logs.',
        about: away.map(({ extensionService }) => extensionService),
      });
}

function proxiesCheck({ status, proxies }: DoctorFacts): Check {
  const few = status.clusters.flatMap((cluster) => {
    const wanted = proxies.find(({ extension }) => extension === cluster.extension)?.wanted ?? 1;
    const running = runningProxies(cluster);
    return running < wanted ? [{ name: cluster.proxyService, running }] : [];
  });
  const about = few.map(({ name }) => name);
  if (few.length === 0) {
    return check('proxies.running', 'ok', 'as many as config.toml asks for');
  }
  const todo = 'See why tasks do not start: docker service ps --no-trunc.';
  return few.some(({ running }) => running === 0)
    ? check('proxies.running', 'bad', 'a cluster has no proxy that runs: nobody answers there', { todo, about })
    : check('proxies.running', 'warn', 'fewer proxies run than config.toml asks for', { todo, about });
}

function runningProxies({ proxies }: ClusterStatus): number {
  return proxies.filter(({ state, desiredState }) => state === 'running' && desiredState === 'running').length;
}

/** A classic cluster's proxies say nothing: there Swarm's roll is what counts. */
function deliveryCheck({ status }: DoctorFacts): Check {
  const hitless = status.clusters.filter(({ delivery }) => delivery?.mode === 'hitless');
  const all = hitless.flatMap(({ artifactDigest, proxies }) =>
    proxies.map((proxy) => ({ ...proxy, newest: artifactDigest })),
  );
  const where = (list: typeof all) =>
    list.map(({ node, nodeId, taskId }) => `${node || nodeId} (${taskId.slice(0, 12)})`);
  const refused = all.filter((proxy) => proxy.refused !== undefined && proxy.refused.artifactDigest === proxy.newest);
  if (refused.length > 0) {
    return check('proxies.delivery', 'bad', `NGINX refuses the newest file: ${refused[0]?.refused?.reason ?? ''}`, {
      todo: 'Correct the raw options that the words point at; the last good file serves on.',
      about: where(refused),
    });
  }
  const fallback = status.clusters.filter(({ delivery }) => delivery?.fallback !== undefined);
  if (fallback.length > 0) {
    return check(
      'proxies.delivery',
      'warn',
      `each change rolls the proxies: ${fallback[0]?.delivery?.fallback ?? ''}`,
      {
        todo: 'Use a proxy image with our agent, or set HitlessServiceUpdate = false if that is meant.',
        about: fallback.map(({ proxyService }) => proxyService),
      },
    );
  }
  const behind = all.filter(
    ({ state, artifactDigest, newest }) => state === 'running' && newest !== undefined && artifactDigest !== newest,
  );
  return behind.length === 0
    ? check('proxies.delivery', 'ok', 'every proxy serves the newest file')
    : check('proxies.delivery', 'warn', 'proxies do not serve the newest file yet', {
        todo: 'Look again in a few seconds; then read their logs: docker service logs.',
        about: where(behind),
      });
}

/** A connect from inside of a proxy only its agent could try; whether it is on the networks of its pools agents and Swarm tell. */
function networksCheck({ status }: DoctorFacts): Check {
  const pending = status.clusters.flatMap(({ delivery }) => delivery?.pendingNetworks ?? []);
  const lacking = about(status.findings, 'DELIVERY.NETWORK_NOT_ATTACHED', 'PUBLISH.NETWORK_UNKNOWN');
  const names = [...new Set([...pending, ...lacking])];
  return names.length === 0
    ? check('proxies.networks', 'ok', 'proxies are on the networks of all that they route to')
    : check('proxies.networks', 'warn', 'proxies lack networks of services: their routes answer 503 there', {
        todo: 'They come with the roll that core makes now; if they stay away, see docker service ps of the proxy service.',
        about: names,
      });
}

const PORT_TAKEN = /port.*(?:in use|allocated|already)|host-mode port/i;

function portsCheck({ status, proxies }: DoctorFacts): Check {
  const silent = proxies.find(({ fates }) => !fates.ok);
  if (silent !== undefined) {
    return check(
      'proxies.ports',
      'unknown',
      `the Engine does not tell how proxies fare: ${silent.fates.ok ? '' : silent.fates.words}`,
    );
  }
  const taken = proxies.flatMap(({ extension, wanted, service, fates }) => {
    const cluster = status.clusters.find((one) => one.extension === extension);
    const isShort = cluster !== undefined && runningProxies(cluster) < wanted;
    const error =
      fates.ok && isShort
        ? newestFirst(fates.value).find((fate) => PORT_TAKEN.test(fate.error ?? ''))?.error
        : undefined;
    return error === undefined ? [] : [{ error, name: service?.name ?? extension }];
  });
  const [first] = taken;
  return first === undefined
    ? check('proxies.ports', 'ok', 'no proxy is kept from starting by a port that is taken')
    : check('proxies.ports', 'bad', `a published port is taken: ${first.error}`, {
        todo: 'Free it, publish another one, or keep proxies off that node with ProxyConstraints. In host mode a node takes one proxy.',
        about: taken.map(({ name }) => name),
      });
}

function newestFirst(fates: readonly TaskFate[]): readonly TaskFate[] {
  return [...fates].sort((a, b) => (a.updatedAt < b.updatedAt ? 1 : -1));
}

function placementCheck({ status }: DoctorFacts): Check {
  const unmatched = status.findings.filter(({ code }) => code === 'PUBLISH.CONSTRAINT_UNMATCHED');
  return unmatched.length === 0
    ? check('proxies.placement', 'ok', 'each constraint of config.toml is met by a node')
    : check('proxies.placement', 'bad', 'a constraint of config.toml is met by no node', {
        todo: 'Label nodes with docker node update --label-add, or correct Constraints and ProxyConstraints.',
        about: unmatched.flatMap(({ value, subject }) => value ?? subject ?? []),
      });
}

function clientsCheck({ proxies }: DoctorFacts): Check {
  const meshed = proxies.filter(({ service }) => service?.ports.some(({ mode }) => mode === 'ingress') === true);
  return meshed.length === 0
    ? check('clients.address', 'ok', 'client addresses reach the proxies: ports are published in host mode')
    : check(
        'clients.address',
        'warn',
        "client addresses are lost: in ingress mode every client seems to be Swarm's routing mesh",
        {
          todo: 'Set PublishMode = "host" if logs, ip_hash or applications need them (docs/howto/client-addresses.md).',
          about: meshed.flatMap(({ service }) => service?.name ?? []),
        },
      );
}

function tasksCheck({ routed, snapshot }: DoctorFacts): Check {
  const running = new Set(
    snapshot?.tasks
      .filter(({ state, desiredState }) => state === 'running' && desiredState === 'running')
      .map(({ serviceId }) => serviceId),
  );
  const without = routed.filter(({ service }) => !running.has(service.id)).map(({ service }) => service.name);
  return without.length === 0
    ? check(
        'services.running',
        'ok',
        `${routed.length} routed ${routed.length === 1 ? 'service' : 'services'}, each with a task that runs`,
      )
    : check('services.running', 'warn', 'routed services have no task that runs: their routes answer 503', {
        todo: 'See docker service ps of each, or scale it up.',
        about: without,
      });
}

function healthCheck({ routed }: DoctorFacts): Check {
  const named = (kind: ServiceCare['healthcheck']) =>
    routed.filter(({ care }) => care?.healthcheck === kind).map(({ service }) => service.name);
  const off = named('off');
  if (off.length > 0) {
    return check(
      'services.healthcheck',
      'warn',
      'a HEALTHCHECK is switched off: tasks get requests before they can answer',
      {
        todo: 'Give each a health check that fails until it can answer.',
        about: off,
      },
    );
  }
  const silent = [
    ...named('image'),
    ...routed.filter(({ care }) => care === undefined).map(({ service }) => service.name),
  ];
  return silent.length === 0
    ? check('services.healthcheck', 'ok', 'each routed service has one')
    : check('services.healthcheck', 'unknown', 'whether the image has a HEALTHCHECK cannot be seen from a manager', {
        todo: 'See docker image inspect, or say it in the stack file: healthcheck. Without one a task gets requests as soon as its process runs.',
        about: silent,
      });
}

/** Tasks that go before others come are missed unless enough others stay. */
function updateCheck({ routed }: DoctorFacts): Check {
  const risky = routed.filter(({ service: { mode }, care }) => {
    const replicas = mode.kind === 'replicated' ? mode.replicas : 2;
    const atOnce = care?.updateParallelism === 0 ? replicas : (care?.updateParallelism ?? 1);
    return care?.updateOrder === 'stop-first' && replicas > 0 && atOnce >= replicas;
  });
  return risky.length === 0
    ? check('services.update', 'ok', 'an update of a routed service leaves tasks that answer')
    : check(
        'services.update',
        'warn',
        'an update stops all tasks before the first new one runs: requests fail meanwhile',
        {
          todo: 'Set update_config: order: start-first, or more replicas than parallelism.',
          about: risky.map(({ service }) => service.name),
        },
      );
}

/** NGINX needs a moment to leave a task, and requests in flight need to end. */
const SHORT_GRACE_MS = 3_000;

function graceCheck({ routed }: DoctorFacts): Check {
  const brief = routed.filter(({ care }) => care !== undefined && care.stopGraceMs < SHORT_GRACE_MS);
  return brief.length === 0
    ? check('services.stop', 'ok', 'routed services may finish what they have begun when they are stopped')
    : check(
        'services.stop',
        'warn',
        `services are killed less than ${SHORT_GRACE_MS / 1000} s after they are told to stop`,
        {
          todo: 'Raise stop_grace_period, so that requests in flight can end.',
          about: brief.map(({ service }) => service.name),
        },
      );
}

/** Core keeps the newest ten of each extension, and what a spec refers to. */
const KEPT = 14;

function configsCheck({ configs, status }: DoctorFacts): Check {
  if (!configs.ok) {
    return check('configs', 'unknown', `the Engine does not list Docker Configs: ${configs.words}`);
  }
  const most = KEPT * Math.max(1, status.clusters.length);
  const { length } = configs.value;
  return length <= most
    ? check('configs', 'ok', `${length} Proxy ${length === 1 ? 'Config' : 'Configs'} stored`)
    : check('configs', 'warn', `${length} Proxy Configs are stored, ${most} are plenty`, {
        todo: 'An earlier core of another stack left them: interlock uninstall, or docker config rm.',
        about: [...configs.value].sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1)).map(({ name }) => name),
      });
}

function findingsCheck({ status: { findings } }: DoctorFacts): Check {
  const errors = findings.filter(({ severity }) => severity === 'error');
  const warnings = findings.filter(({ severity }) => severity === 'warn');
  const seen = `${errors.length} at level error, ${warnings.length} at level warn`;
  return errors.length + warnings.length === 0
    ? check('findings', 'ok', 'none in labels and settings')
    : check('findings', errors.length > 0 ? 'bad' : 'warn', seen, {
        todo: 'interlock status says each with what to write instead.',
        about: [...new Set([...errors, ...warnings].map(({ service, subject, code }) => service ?? subject ?? code))],
      });
}

function about(findings: readonly Finding[], ...codes: readonly FindingCode[]): readonly string[] {
  return findings.filter(({ code }) => codes.includes(code)).flatMap(({ value, subject }) => value ?? subject ?? []);
}
