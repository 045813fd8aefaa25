/** The main job on a real Swarm of three nodes: real engines, real NGINX, two proxies in host mode, hitless delivery, the watch feed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AGENT_METRICS } from '../../../src/agent/metrics.ts';
import { CORE_METRICS } from '../../../src/core/metrics/definitions.ts';
import { EXTENSION_METRICS } from '../../../src/extension/metrics.ts';
import { askAllTasks } from '../../support/ask-tasks.ts';
import { startSwarm } from '../../support/bed.ts';
import { CHECKOUT } from '../../support/docs-pages.ts';
import { docsRunner } from '../../support/docs-runner.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock } from '../../support/interlock.ts';

const PROXIES = 2;
let interlock: Interlock;
const cleanUps: (() => Promise<void>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  const swarm = await startSwarm({ name: 'main-job', nodes: 3, fastHeartbeat: true });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, defaultConfig({ replicas: PROXIES }));
  cleanUps.unshift(() => interlock.down());
  await interlock.createNetwork('app');
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

const answeredBy = (name: string) => (answer: { status: number; body: string }) =>
  answer.status === 200 && answer.body.startsWith(name);
const status = (code: number) => (answer: { status: number }) => answer.status === code;

/** Host names of the replicas that answer, over a number of requests through every proxy. */
async function replicasSeen(host: string): Promise<ReadonlySet<string>> {
  const seen = new Set<string>();
  for (const base of await interlock.proxies()) {
    for (let request = 0; request < 24; request += 1) {
      const { headers } = await interlock.ask(base, host);
      seen.add(String(headers['x-demo-host']));
    }
  }
  return seen;
}

/** Version indexes of everything core wrote: equal before and after means that nothing was written. */
async function ownVersions(): Promise<Readonly<Record<string, number>>> {
  const services = await Promise.all(
    ['interlock-extension', 'interlock-proxy'].map((name) => interlock.inspectService(name)),
  );
  const configs = (await interlock.docker.listConfigs()) as unknown as {
    Spec: { Name: string };
    Version: { Index: number };
  }[];
  // The history of routes comes a little behind what it tells of.
  const own = configs.filter(({ Spec }) => !Spec.Name.startsWith('com.docker.interlock.routes.'));
  return Object.fromEntries([
    ...services.map((service) => [service.Spec.Name, service.Version.Index] as const),
    ...own.map((config) => [config.Spec.Name, config.Version.Index] as const),
  ]);
}

async function untilSettled(): Promise<void> {
  await eventually(
    async () => {
      const { UpdateStatus } = await interlock.inspectService('interlock-proxy');
      const running = await interlock.proxies();
      return running.length === PROXIES && (UpdateStatus === undefined || UpdateStatus.State === 'completed');
    },
    { timeoutMs: 90_000, everyMs: 250 },
  );
}

const docs = docsRunner('test/e2e/routing/main-job.test.ts');

/** A block of a page, on the manager. */
function runBlock(page: string, block: string): Promise<string> {
  const env = { ...process.env, DOCKER_HOST: `unix://${interlock.swarm.managerSocket}` };
  return docs.run(page, block, { cwd: CHECKOUT, env });
}

describe('the main job', () => {
  it('reaches a labelled service through every proxy', async () => {
    await interlock.createApp({ name: 'demo', networks: ['app'], lb: { hosts: 'demo.local', port: '8080' } });
    await interlock.untilAll('demo.local', answeredBy('demo'), { proxies: PROXIES, timeoutMs: 120_000 });
  });

  it.each(['interlock-extension', 'interlock-proxy'])(
    'gives the containers of %s nothing they do not need',
    async (service) => {
      const { Config, HostConfig, Mounts } = await interlock.inspectContainer(service);
      expect(Config.User).toMatch(/^101(:101)?$/);
      expect(HostConfig).toMatchObject({ CapDrop: ['ALL'], ReadonlyRootfs: true, Init: true, Privileged: false });
      expect(JSON.stringify(Mounts)).not.toContain('docker.sock');
    },
  );

  it('tells what it does: metrics and readiness of all three on the control network alone', async () => {
    await runBlock('docs/howto/monitoring.md', 'docker config create prometheus.yml docker/monitoring/prometheus.yml');
    const daemons = [
      { service: 'interlock_core', metrics: CORE_METRICS, tasks: 1 },
      { service: 'interlock-extension', metrics: EXTENSION_METRICS, tasks: 1 },
      { service: 'interlock-proxy', metrics: AGENT_METRICS, tasks: PROXIES },
    ];
    for (const { service, metrics, tasks } of daemons) {
      await eventually(
        async () => {
          const answers = await askAllTasks(interlock, 'prometheus', service, '/readyz');
          if (answers.length !== tasks || answers.some(({ status }) => status !== 200)) {
            throw new Error(`${service}: ${JSON.stringify(answers)}`);
          }
        },
        { timeoutMs: 90_000, everyMs: 500 },
      );
      for (const { status, body } of await askAllTasks(interlock, 'prometheus', service, '/metrics')) {
        expect(status).toBe(200);
        expect(Object.keys(metrics).filter((name) => !body.includes(`# TYPE ${name} `))).toEqual([]);
      }
    }

    const [core] = await askAllTasks(interlock, 'prometheus', 'interlock_core', '/metrics');
    expect(core?.body).toMatch(/^interlock_core_agent_sessions\{extension="default"\} 2$/m);
    expect(core?.body).toMatch(/^interlock_core_task_feed\{kind="watch"\} 1$/m);
    expect(core?.body).toMatch(/^interlock_core_extension_connected\{extension="default"\} 1$/m);
    expect(core?.body).toMatch(/^interlock_core_hosts\{extension="default"\} [1-9]/m);
    expect(core?.body).toMatch(/^interlock_core_docker_call_seconds_count\{call="createService"\} [1-9]/m);
    expect(core?.body).toMatch(/^interlock_core_events_total\{source="watch",kind="tasks?"\} [1-9]/m);
    const [extension] = await askAllTasks(interlock, 'prometheus', 'interlock-extension', '/metrics');
    expect(extension?.body).toMatch(/^interlock_extension_core_connected 1$/m);
    expect(extension?.body).toMatch(/^interlock_extension_checks_total\{outcome="passed"\} [1-9]/m);
    for (const { body } of await askAllTasks(interlock, 'prometheus', 'interlock-proxy', '/metrics')) {
      expect(body).toMatch(/^interlock_nginx_up 1$/m);
      expect(body).toMatch(/^interlock_nginx_requests_total [1-9]/m);
      expect(body).toMatch(/^interlock_nginx_workers\{state="accepting"\} [1-9]/m);
      expect(body).toMatch(/^interlock_agent_core_connected 1$/m);
    }

    const outside = await askAllTasks(interlock, 'demo', 'interlock-proxy', '/metrics');
    expect(outside.map(({ status }) => status)).toEqual(Array.from({ length: PROXIES }, () => 'ECONNREFUSED'));

    await interlock.removeService('prometheus');
    await eventually(() => interlock.cli('config', 'rm', 'prometheus.yml', 'interlock-rules.yml'), {
      timeoutMs: 60_000,
    });
  });

  it('answers unknown hosts with 503', async () => {
    for (const base of await interlock.proxies()) {
      expect((await interlock.ask(base, 'nobody.local')).status).toBe(503);
    }
  });

  it('routes to all replicas after scaling up, and to the rest after scaling down', async () => {
    await interlock.updateService('demo', (spec) => {
      spec.Mode.Replicated = { Replicas: 4 };
    });
    await eventually(async () => (await replicasSeen('demo.local')).size === 4, { timeoutMs: 90_000, everyMs: 500 });

    await interlock.updateService('demo', (spec) => {
      spec.Mode.Replicated = { Replicas: 2 };
    });
    await eventually(async () => (await replicasSeen('demo.local')).size === 2, { timeoutMs: 90_000, everyMs: 500 });
  });

  it('follows a changed label', async () => {
    await interlock.updateService('demo', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = 'renamed.local';
    });
    await interlock.untilAll('renamed.local', answeredBy('demo'), { proxies: PROXIES });
    await interlock.untilAll('demo.local', status(503), { proxies: PROXIES });
  });

  it('lets a service that cannot be routed harm nobody, and says what is wrong with each', async () => {
    await interlock.createApp({ name: 'no-port', networks: ['app'], lb: { hosts: 'no-port.local' } });
    await interlock.createApp({
      name: 'no-net',
      networks: ['app'],
      lb: { hosts: 'no-net.local', port: '8080', network: 'nowhere' },
    });
    await interlock.createApp({
      name: 'nonsense',
      networks: ['app'],
      lb: { hosts: 'bad host;{}$x, ok.local', port: '0x50', network: '"; }', colour: 'blue' },
    });
    await interlock.createApp({ name: 'good', networks: ['app'], lb: { hosts: 'good.local', port: '8080' } });
    await interlock.untilAll('good.local', answeredBy('good'), { proxies: PROXIES });
    await interlock.untilAll('renamed.local', answeredBy('demo'), { proxies: PROXIES });

    const findings = (await interlock.coreLog()).flatMap((line) =>
      line['finding'] === undefined ? [] : [line['finding']],
    );
    const said = findings as { readonly code: string; readonly service: string }[];
    expect(said).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ code: 'LABEL.PORT_MISSING', service: 'no-port' }),
        expect.objectContaining({ code: 'LABEL.NETWORK_UNKNOWN', service: 'no-net' }),
        expect.objectContaining({ code: 'LABEL.PORT_INVALID', service: 'nonsense' }),
      ]),
    );
  });

  it('writes nothing and rolls nothing when core is killed and comes back', async () => {
    await untilSettled();
    const before = await ownVersions();
    const killedAt = new Date().toISOString();
    await interlock.killTask('interlock_core');
    // What the new core would write it writes when it has taken the extension's artifact.
    await eventually(
      async () =>
        (await interlock.coreLog()).some(
          ({ msg, time }) => msg === 'artifact accepted' && typeof time === 'string' && time > killedAt,
        ),
      { timeoutMs: 60_000, everyMs: 500 },
    );
    for (const base of await interlock.proxies()) {
      expect((await interlock.ask(base, 'good.local')).status).toBe(200);
    }
    expect(await ownVersions()).toEqual(before);

    await interlock.createApp({
      name: 'after-core',
      networks: ['app'],
      lb: { hosts: 'after-core.local', port: '8080' },
    });
    await interlock.untilAll('after-core.local', answeredBy('after-core'), { proxies: PROXIES });
  });

  it('goes on serving when the extension is killed, and the next change arrives', async () => {
    await interlock.killTask('interlock-extension');
    for (const base of await interlock.proxies()) {
      expect((await interlock.ask(base, 'good.local')).status).toBe(200);
    }

    await interlock.createApp({ name: 'after-ext', networks: ['app'], lb: { hosts: 'after-ext.local', port: '8080' } });
    await interlock.untilAll('after-ext.local', answeredBy('after-ext'), { proxies: PROXIES });
  });

  it('answers 503 for a host whose service was removed, and keeps the others', async () => {
    await interlock.removeService('good');
    await interlock.untilAll('good.local', status(503), { proxies: PROXIES });
    await interlock.untilAll('renamed.local', answeredBy('demo'), { proxies: PROXIES });
  });

  it('joins a second network for a service that is on it', async () => {
    await interlock.createNetwork('other');
    await interlock.createApp({ name: 'far', networks: ['other'], lb: { hosts: 'far.local', port: '8080' } });
    await interlock.untilAll('far.local', answeredBy('far'), { proxies: PROXIES });
  });

  it('leaves with docker stack rm, whole', async () => {
    await interlock.swarm.lookThroughLogs();
    await runBlock('docs/howto/uninstall.md', 'docker stack rm interlock');
    await eventually(
      async () => {
        const services = (await interlock.docker.listServices()) as unknown as { Spec: { Name: string } }[];
        const configs = (await interlock.docker.listConfigs()) as unknown as { Spec: { Name: string } }[];
        const networks = (await interlock.docker.listNetworks()) as unknown as { Name: string }[];
        const left = [
          ...services.map(({ Spec }) => Spec.Name),
          ...configs.map(({ Spec }) => Spec.Name),
          ...networks.map(({ Name }) => Name),
        ].filter((name) => name.includes('interlock'));
        if (left.length > 0) {
          throw new Error(`left behind: ${left.join(', ')}`);
        }
      },
      { timeoutMs: 60_000, everyMs: 500 },
    );
  });

  it('has run every block of the pages that is its to run', () => {
    expect(docs.left()).toEqual([]);
  });
});
