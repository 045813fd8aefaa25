/** The commands for people on a real Swarm of two managers: what they print and how they exit. One bed for all of them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceExplanation } from '../../../src/cli/explain/service.ts';
import type { UrlExplanation } from '../../../src/cli/explain/url.ts';
import type { RouteRow } from '../../../src/cli/show/routes.ts';
import type { Check, Diagnosis } from '../../../src/wire/diagnosis.ts';
import type { StatusReport } from '../../../src/wire/status-report.ts';
import { askAllTasks } from '../../support/ask-tasks.ts';
import { type Swarm, startSwarm } from '../../support/bed.ts';
import { blocksIn, CHECKOUT, firstCommand, readPage } from '../../support/docs-pages.ts';
import { docsRunner } from '../../support/docs-runner.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock } from '../../support/interlock.ts';
import { type CommandOutcome, runCommand } from '../../support/run-command.ts';

const run = promisify(execFile);
/** One command in core's container, a bed's slowness included. */
const COMMAND_MS = 60_000;

let swarm: Swarm;
let interlock: Interlock;
const cleanUps: (() => Promise<void>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  swarm = await startSwarm({ name: 'operate', nodes: 2, managers: 2 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  // The last table is that of the extension's own options.
  interlock = await deployInterlock(swarm, `${defaultConfig({ replicas: 2 })}RouteMetrics = true\n`);
  cleanUps.unshift(() => interlock.down());
  await interlock.createNetwork('app');
  await interlock.createApp({ name: 'shop', networks: ['app'], replicas: 2, lb: { hosts: 'shop.test', port: '8080' } });
  await interlock.untilAll('shop.test', ({ status }) => status === 200, { proxies: 2, timeoutMs: 150_000 });
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

/** Where core runs: the index into `swarm.nodes`, and its container. */
async function coreContainer(): Promise<{ readonly at: number; readonly id: string }> {
  for (const [at, { dockerSocket }] of swarm.nodes.entries()) {
    const { stdout } = await run('docker', ['-H', `unix://${dockerSocket}`, 'ps', '-qf', 'name=interlock_core']);
    if (stdout.trim() !== '') {
      return { at, id: stdout.trim() };
    }
  }
  throw new Error('core runs nowhere');
}

/** `docker exec $(docker ps -qf name=interlock_core) interlock …`, on the node that runs core. */
async function inCore(...argv: readonly string[]): Promise<CommandOutcome> {
  const { at, id } = await coreContainer();
  const socket = `unix://${swarm.nodes[at]?.dockerSocket ?? ''}`;
  try {
    const options = { timeout: COMMAND_MS, maxBuffer: 16 * 1024 * 1024 };
    const { stdout, stderr } = await run('docker', ['-H', socket, 'exec', id, 'interlock', ...argv], options);
    return { exitCode: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    if (typeof code !== 'number') {
      throw error;
    }
    return { exitCode: code, stdout, stderr };
  }
}

async function jsonOf<Value>(...argv: readonly string[]): Promise<Value> {
  const { stdout, stderr } = await inCore(...argv, '--json');
  try {
    return JSON.parse(stdout) as Value;
  } catch {
    throw new Error(`${argv.join(' ')} printed no JSON: ${stdout}${stderr}`);
  }
}

/** Asks until core's picture is as it should be: a label is read a moment after it was written. */
async function untilSays<Value>(ask: () => Promise<Value>, holds: (value: Value) => boolean): Promise<Value> {
  return eventually(
    async () => {
      const value = await ask();
      if (!holds(value)) {
        throw new Error(`not yet: ${JSON.stringify(value).slice(0, 2_000)}`);
      }
      return value;
    },
    { timeoutMs: 60_000, everyMs: 250 },
  );
}

describe('interlock status', () => {
  it('tells of core, the feed, each proxy with its node, and ends with 0 when all serve the newest', async () => {
    await untilSays(
      () => inCore('status'),
      ({ exitCode }) => exitCode === 0,
    );
    const { stdout, exitCode } = await inCore('status');

    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^core {2}\d+\.\d+\.\d+\S*, up \d+/);
    expect(stdout).toMatch(/task feed {2}watch \(/);
    expect(stdout).toMatch(/cluster {2}default {2}\[Extensions\.default\]\n {2}extension {2}connected/);
    expect(stdout).toMatch(/NODE +PROXY +STATE +SERVES +FOR/);
    expect(stdout.match(/^ {2}n[12] +\S{12} +running +newest/gm)).toHaveLength(2);
    expect(stdout).not.toContain('\x1b');
  });

  it('has the same for scripts', async () => {
    const report = await jsonOf<StatusReport & { well: boolean }>('status');

    expect(report).toMatchObject({
      taskFeed: { kind: 'watch' },
      well: true,
      clusters: [
        {
          extension: 'default',
          serviceCluster: '',
          extensionConnected: true,
          delivery: { mode: 'hitless', pendingNetworks: [], pendingSecrets: [] },
          proxies: [
            { node: 'n1', state: 'running', connected: true, standing: { kind: 'newest' } },
            { node: 'n2', state: 'running', connected: true, standing: { kind: 'newest' } },
          ],
        },
      ],
    });
    expect(report.startedAtMs).toBeLessThanOrEqual(report.nowMs);
  });

  it("found from the host: core's container on this engine, or the node that has it", async () => {
    const { at } = await coreContainer();
    const [here, there] = [swarm.nodes[at], swarm.nodes[1 - at]];
    const outside = await runCommand(['status', '--json', '-H', `unix://${here?.dockerSocket ?? ''}`]);
    const elsewhere = await runCommand(['status', '-H', `unix://${there?.dockerSocket ?? ''}`]);

    expect({ ...outside, stdout: JSON.parse(outside.stdout) as unknown }).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: { clusters: [{ extension: 'default' }] },
    });
    expect(elsewhere).toEqual({
      exitCode: 69,
      stdout: '',
      stderr: expect.stringContaining(`core runs on the node n${at + 1}: run this command there`) as unknown,
    });
  });

  it('watches until it is told to stop, and leaves nothing behind in the container', async () => {
    const { at, id } = await coreContainer();
    const socket = swarm.nodes[at]?.dockerSocket ?? '';
    const stop = new AbortController();
    const words: string[] = [];
    const stdout = { write: (text: string) => void words.push(text), isTerminal: false, columns: 80 };
    const watching = runCommand(['status', '--watch', '--json', '-H', `unix://${socket}`], {
      stdout,
      signal: stop.signal,
    });
    await eventually(() => words.join('').includes('"epoch"'), { timeoutMs: 30_000 });
    stop.abort();

    expect((await watching).exitCode).toBe(0);
    const processes = ['exec', id, 'sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "'];
    await eventually(
      async () => {
        const { stdout: running } = await run('docker', ['-H', `unix://${socket}`, ...processes]);
        expect(running).toContain('interlock');
        expect(running).not.toContain('--watch');
      },
      { timeoutMs: 30_000 },
    );
  });
});

describe('interlock routes', () => {
  it('lists host, path, service, and endpoints with their nodes', async () => {
    const { stdout, exitCode } = await inCore('routes');
    const rows = await jsonOf<RouteRow[]>('routes', '--cluster', '');

    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/HOST +PATH +SERVICE +ENDPOINTS +TLS +OPTIONS/);
    expect(stdout).toMatch(/shop\.test +\/ +shop +\d+\.\d+\.\d+\.\d+:8080 on n[12] \S{12}\n/);
    expect(rows).toMatchObject([{ host: 'shop.test', path: '/', services: ['shop'], network: 'app', tls: 'none' }]);
    expect(rows[0]?.endpoints.map(({ port, nodeState }) => [port, nodeState])).toEqual([
      [8080, 'ready'],
      [8080, 'ready'],
    ]);
  });

  it('of a cluster that does not exist are none, and the exit code says so', async () => {
    expect(await inCore('routes', '--cluster', 'nowhere')).toMatchObject({ exitCode: 1 });
  });
});

describe('interlock explain URL', () => {
  it('says which service answers, and what the proxies answer is the same', async () => {
    const { stdout, exitCode } = await inCore('explain', 'http://shop.test:8080/cart?x=1');
    const explanation = await jsonOf<UrlExplanation>('explain', 'http://shop.test:8080/cart?x=1');

    expect(exitCode).toBe(0);
    expect(stdout).toContain('served\nshop answers, from 2 endpoints through 2 proxies\n');
    expect(explanation).toMatchObject({
      verdict: 'served',
      host: 'shop.test',
      path: '/',
      services: ['shop'],
      network: 'app',
    });
    const [base] = await interlock.proxies();
    expect((await interlock.ask(base ?? '', 'shop.test', '/cart')).status).toBe(200);
  });

  it.each([
    ['http://shap.test:8080/', 'no service claims the host shap.test', 'there is a host shop.test: did you mean that?'],
    ['https://shop.test:8443/', 'it has no certificate: the TLS handshake is refused', 'Add com.docker.lb.ssl_cert'],
  ])('%s: nobody answers, and why', async (url, why, hint) => {
    const { stdout, exitCode } = await inCore('explain', url);

    expect(exitCode).toBe(1);
    expect(stdout).toContain('NOT SERVED');
    expect(stdout).toContain(why);
    expect(stdout).toContain(hint);
  });

  it('without a task that runs says which state they are in', async () => {
    await interlock.createApp({
      name: 'stuck',
      networks: ['app'],
      lb: { hosts: 'stuck.test', port: '8080' },
      constraints: ['node.labels.there==none'],
    });
    const { steps, status } = await untilSays(
      () => jsonOf<UrlExplanation>('explain', 'http://stuck.test/'),
      ({ host }) => host === 'stuck.test',
    );

    expect(status).toBe(503);
    expect(steps.filter(({ state }) => state === 'bad').map(({ text }) => text)).toEqual([
      'served by stuck on the network app: no endpoint, so 503',
      expect.stringMatching(
        /^stuck: 0 of 1 tasks run; the newest is pending on no node yet: .*no suitable node/,
      ) as unknown,
    ]);
    await interlock.removeService('stuck');
  });
});

/** How many requests reached the tasks of a service on `network`, asked from one of them; some of them are health checks. */
async function requestsAt(service: string): Promise<number> {
  const script = `require('node:dns/promises').resolve4('tasks.${service}')
    .then((hosts) => Promise.all(hosts.map((host) => fetch('http://' + host + ':8080/').then((answer) => answer.text()))))
    .then((bodies) => console.log(JSON.stringify(bodies)))`;
  const bodies = JSON.parse(await interlock.exec(service, ['node', '-e', script])) as readonly string[];
  const counts = bodies.map((body) => Number(/, (\d+) requests\)/.exec(body)?.[1]));
  return counts.reduce((sum, count) => sum + count, 0);
}

async function setNodes(availability: 'active' | 'pause'): Promise<void> {
  for (const node of ['n1', 'n2']) {
    // Swarm writes nodes too, and then says "update out of sequence".
    await eventually(() => interlock.cli('node', 'update', '--availability', availability, node), {
      timeoutMs: 30_000,
    });
  }
}

describe('a network that the proxies have yet to join', () => {
  it('is what explain names until they are on it; meanwhile they answer 503, and nothing is sent anywhere else', async () => {
    await interlock.createNetwork('late');
    await interlock.createApp({ name: 'late', networks: ['late'] });
    await eventually(() => requestsAt('late'), { timeoutMs: 60_000, everyMs: 250 });
    // The roll begins with one of both proxies, and waits for a node that takes its successor. The other serves on.
    await setNodes('pause');
    await interlock.updateService('late', (spec) => {
      Object.assign(spec.Labels, { 'com.docker.lb.hosts': 'late.test', 'com.docker.lb.port': '8080' });
    });
    try {
      const why = /^the proxies are not on the network late yet: 503 until interlock-proxy is rolled/;
      const { verdict, network, steps } = await untilSays(
        () => jsonOf<UrlExplanation>('explain', 'http://late.test:8080/'),
        (explanation) => explanation.steps.some(({ text }) => why.test(text)),
      );
      expect([verdict, network]).toEqual(['not-served', 'late']);
      expect(steps.find(({ text }) => why.test(text))?.state).toBe('bad');
      const printed = await inCore('explain', '--service', 'late');
      expect(printed.exitCode).toBe(1);
      expect(printed.stdout).toContain('the proxies are not on the network late yet');

      const [base = ''] = await eventually(
        async () => {
          const bases = await interlock.proxies();
          expect(bases).toHaveLength(1);
          return bases;
        },
        { timeoutMs: 60_000 },
      );
      expect((await interlock.ask(base, 'shop.test')).status).toBe(200);
      const before = { late: await requestsAt('late'), shop: await requestsAt('shop') };
      for (let asked = 0; asked < 50; asked += 1) {
        const { status, headers } = await interlock.ask(base, 'late.test');
        expect([status, headers['x-upstream-addr']]).toEqual([503, 'unix:/run/interlock-unavailable.sock']);
      }
      // Those that ask for the number, and health checks.
      expect((await requestsAt('late')) - before.late).toBeLessThan(10);
      expect((await requestsAt('shop')) - before.shop).toBeLessThan(10);
    } finally {
      await setNodes('active');
    }

    await interlock.untilAll('late.test', ({ status }) => status === 200, { proxies: 2, timeoutMs: 150_000 });
    const served = await untilSays(
      () => inCore('explain', 'http://late.test:8080/'),
      ({ exitCode }) => exitCode === 0,
    );
    expect(served.stdout).toContain('late answers, from 1 endpoint through 2 proxies');
    await interlock.removeService('late');
  }, 300_000);
});

describe('RouteMetrics', () => {
  it('counts each request at the proxy that answered it, by the host and path of the label', async () => {
    const counts = async () =>
      (await askAllTasks(interlock, 'interlock_core', 'interlock-proxy', '/metrics')).map(({ body }) =>
        sumOf(body, 'interlock_route_requests_total{host="shop.test",path="/",code="2xx"}'),
      );
    const before = await counts();
    expect(before).toHaveLength(2);
    const [base = ''] = await interlock.proxies();
    for (let asked = 0; asked < 25; asked += 1) {
      expect((await interlock.ask(base, 'shop.test', `/cart?x=${asked}`)).status).toBe(200);
    }
    await eventually(
      async () => {
        const more = (await counts()).map((count, at) => count - (before[at] ?? 0));
        expect(more.sort((a, b) => a - b)).toEqual([0, 25]);
      },
      { timeoutMs: 30_000, everyMs: 250 },
    );
    const bodies = await askAllTasks(interlock, 'interlock_core', 'interlock-proxy', '/metrics');
    expect(bodies.map(({ body }) => body).join('\n')).not.toContain('cart');
  });
});

/** The value of one series of a page of metrics; 0 when it is not there yet. */
function sumOf(body: string, series: string): number {
  const line = body.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

describe('"I labelled my service and nothing happens": interlock explain --service', () => {
  const APP = { name: 'puzzle', networks: ['app'] } as const;

  async function explained(): Promise<ServiceExplanation> {
    const [explanation] = await untilSays(
      () => jsonOf<ServiceExplanation[]>('explain', '--service', 'puzzle').catch((): ServiceExplanation[] => []),
      (list) => list.length === 1,
    );
    if (explanation === undefined) {
      throw new Error('no explanation');
    }
    return explanation;
  }

  it.each([
    [
      'on the containers, as "labels:" without "deploy:" puts them',
      { lb: {}, container: { 'com.docker.lb.hosts': 'puzzle.test', 'com.docker.lb.port': '8080' } },
      '2 labels are on the containers, not on the service, and not read: com.docker.lb.hosts, com.docker.lb.port',
      /move them from "labels:" of the service to "labels:" under "deploy:"/,
    ],
    [
      'with a prefix that is not ours',
      { lb: {}, labels: { 'com.docker.ib.hosts': 'puzzle.test', 'com.docker.ib.port': '8080' } },
      'the label com.docker.ib.hosts is not one of ours',
      /Did you mean com\.docker\.lb\.hosts\?/,
    ],
    [
      'with a name that is mistyped',
      { lb: { host: 'puzzle.test', port: '8080' } },
      'they cannot be used: com.docker.lb.hosts',
      /Say which host names the service answers/,
    ],
    [
      'of a service cluster that does not exist',
      { lb: { hosts: 'puzzle.test', port: '8080', service_cluster: 'prod' } },
      'no extension in config.toml has the ServiceCluster "prod"',
      /Write one of: ""/,
    ],
    [
      'without a port',
      { lb: { hosts: 'puzzle.test' } },
      'no route came of it, and it is on app; the findings say why',
      /LABEL\.PORT_MISSING/,
    ],
    [
      'not at all',
      { lb: {} },
      'the service has no label of ours',
      /Add at least com\.docker\.lb\.hosts and com\.docker\.lb\.port/,
    ],
  ])('labels %s', async (_what, { lb, labels = {}, container = {} }: Mislabelled, why, todo) => {
    await interlock.createApp({ ...APP, lb, labels });
    if (Object.keys(container).length > 0) {
      await interlock.updateService('puzzle', ({ TaskTemplate }) => {
        TaskTemplate.ContainerSpec['Labels'] = container;
      });
      await untilSays(explained, ({ misplaced }) => Object.keys(misplaced).length > 0);
    }
    const explanation = await untilSays(explained, ({ summary }) => summary === why);
    const { stdout, exitCode } = await inCore('explain', '--service', 'puzzle');

    expect(explanation.verdict).toBe('not-served');
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^puzzle {2}NOT SERVED\n/);
    expect(stdout).toMatch(todo);
    await interlock.removeService('puzzle');
    await untilSays(
      () => inCore('explain', '--service', 'puzzle'),
      ({ stderr }) => stderr.startsWith('there is no service puzzle'),
    );
  });

  it('and one that is well', async () => {
    const { stdout, exitCode } = await inCore('explain', '--service', 'shop');

    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^shop {2}served\nshop is served at shop\.test\/\n/);
    expect(stdout).toContain('shop: 2 of 2 tasks run');
  });

  it('and a name that nobody has', async () => {
    expect(await inCore('explain', '--service', 'shpo')).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: 'there is no service shpo in this Swarm. Did you mean shop?\n',
    });
  });
});

describe('docs/operate.md', () => {
  const page = 'docs/operate.md';
  const docs = docsRunner('test/e2e/operate/operate.test.ts');
  const names = blocksIn(page, readPage(page))
    .filter(({ language }) => language === 'sh')
    .map(firstCommand);

  beforeAll(() => interlock.createApp({ name: 'puzzle', networks: ['app'], lb: {} }));
  afterAll(() => interlock.removeService('puzzle'));

  it.each(names)('%s: the block runs, and ends as the table says', async (name) => {
    const { at } = await coreContainer();
    const env = { ...process.env, DOCKER_HOST: `unix://${swarm.nodes[at]?.dockerSocket ?? ''}` };
    // Nothing on stdout: core has not seen the puzzle yet.
    const run = () => docs.run(page, name, { cwd: CHECKOUT, env });
    await eventually(async () => expect(await run()).not.toBe(''), { timeoutMs: COMMAND_MS });
  });

  it('has no other block', () => {
    expect(docs.left()).toEqual([]);
  });
});

describe('interlock doctor', () => {
  type Checks = Readonly<Record<string, Check | undefined>>;

  async function checks(): Promise<Checks> {
    const { checks: list } = await jsonOf<Diagnosis>('doctor');
    return Object.fromEntries(list.map((check) => [check.id, check]));
  }
  const verdictsOf = (found: Checks, ...ids: readonly string[]) => ids.map((id) => `${id} ${found[id]?.verdict ?? ''}`);

  it('finds what is well, and warns of two managers', async () => {
    const found = await untilSays(checks, (all) => all['proxies.delivery']?.verdict === 'ok');
    const well = ['engine.version', 'swarm.manager', 'swarm.nodes', 'feed', 'extensions', 'proxies.running'];
    const also = ['proxies.networks', 'proxies.ports', 'proxies.placement', 'clients.address', 'configs'];

    expect(verdictsOf(found, ...well, ...also)).toEqual([...well, ...also].map((id) => `${id} ok`));
    expect(found['swarm.quorum']).toMatchObject({ verdict: 'warn', seen: '2 of 2 managers are ready, an even number' });
  });

  it('finds a service that is run carelessly, and says what to do, until it is mended', async () => {
    await interlock.createApp({
      name: 'frail',
      networks: ['app'],
      lb: { hosts: 'frail.test', port: '8080', weight: '0' },
    });
    await interlock.updateService('frail', (spec) => {
      spec.TaskTemplate.ContainerSpec['Healthcheck'] = { Test: ['NONE'] };
      spec.TaskTemplate.ContainerSpec['StopGracePeriod'] = 1_000_000_000;
      spec['UpdateConfig'] = { Parallelism: 1, Order: 'stop-first' };
    });
    const ids = ['services.healthcheck', 'services.stop', 'services.update', 'findings'];
    const found = await untilSays(checks, (all) => ids.every((id) => all[id]?.about.includes('frail') ?? false));
    const { stdout, exitCode } = await inCore('doctor');

    expect(verdictsOf(found, ...ids)).toEqual(ids.map((id) => `${id} ${id === 'findings' ? 'bad' : 'warn'}`));
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^warn +services\.update +an update stops all tasks/m);
    expect(stdout).toContain('order: start-first');
    await interlock.removeService('frail');
    await untilSays(
      () => inCore('doctor'),
      (said) => said.exitCode === 0,
    );
    expect((await inCore('doctor', '--strict')).exitCode).toBe(1);
  });
});

describe('interlock check and schema', () => {
  it("are in core's image, with all that they need", async () => {
    const { at, id } = await coreContainer();
    const socket = `unix://${swarm.nodes[at]?.dockerSocket ?? ''}`;
    const stack = 'services: {web: {deploy: {labels: {com.docker.lb.hosts: web.test, com.docker.lb.port: 80a}}}}';
    const script = `echo '${stack}' | interlock check - --kind stack; echo "code $?"; interlock check /config.toml; interlock schema`;
    const { stdout } = await run('docker', ['-H', socket, 'exec', id, 'sh', '-c', script], { timeout: COMMAND_MS });

    expect(stdout).toMatch(/^standard input:1:\d+: error LABEL\.PORT_INVALID web com\.docker\.lb\.port "80a"$/m);
    expect(stdout).toMatch(/^code 1$/m);
    expect(stdout).toMatch(/^\/config\.toml: ok$/m);
    expect(stdout).toContain('"$schema": "https://json-schema.org/draft/2020-12/schema"');
  });
});

interface Mislabelled {
  readonly lb: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly container?: Readonly<Record<string, string>>;
}
