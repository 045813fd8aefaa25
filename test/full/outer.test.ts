/**
 * Proxies behind a real outer balancer, on a real Swarm of three nodes: config.toml and HAProxy as docs/howto/production.md and
 * docs/howto/client-addresses.md print them, a proxy in host mode on each of two labelled nodes. HTTP and TLS are asked all the time,
 * while the proxies are rolled by hand, for a new network and a new certificate, and for new tokens. Beside it the same through an
 * HAProxy that repeats nothing.
 */
import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatusReport } from '../../src/wire/status-report.ts';
import { type Swarm, startSwarm } from '../support/bed.ts';
import { createAuthority } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { type Haproxy, moved, printedHaproxy, type ServerState, startHaproxy } from '../support/haproxy.ts';
import { imageArchive } from '../support/images.ts';
import { deployInterlock, type Interlock, STACK } from '../support/interlock.ts';
import { freePort } from '../support/nginx.ts';
import { echoed, openWebSocket } from '../support/web-socket.ts';
import { PATIENCE, runningOf } from './cluster.ts';
import { startTraffic, type Traffic, tallyOf } from './traffic.ts';
import { useConfig } from './use-config.ts';

const SLOW = { ...PATIENCE, timeoutMs: 300_000 };
const PROXY = 'interlock-proxy';
/** The nodes that carry proxies, by the names that the page gives them. */
const CARRIERS = { one: 2, two: 3 } as const;
type Server = keyof typeof CARRIERS;
const authority = createAuthority();

interface Ports {
  readonly http: number;
  readonly tls: number;
}

let swarm: Swarm;
let interlock: Interlock;
let haproxy: Haproxy;
let ports: Ports;
let lanes: Readonly<Record<string, Traffic>>;
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  swarm = await startSwarm({ name: 'outer', nodes: 3 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, await printedConfig());
  cleanUps.unshift(() => interlock.down());
  for (const index of Object.values(CARRIERS)) {
    await eventually(() => interlock.cli('node', 'update', '--label-add', 'lb=true', `n${index}`), PATIENCE);
  }
  await interlock.createNetwork('front');
  await createApp('shop', 'front');
  const printed = await printedHaproxy('of ReadyPort');
  ports = await freePorts();
  haproxy = await openLane(printed, ports);
  // Other balancers may not be able to repeat a request, or must not: then it all hangs on their being told.
  const strict = await freePorts();
  await openLane(printed.replace(/^ {2}(retries|retry-on|option redispatch) .*\n/gm, ''), strict, 'retries 0');
  await untilBothServe('shop.test');
  lanes = { ...startLanes('', ports), ...startLanes(', nothing repeated', strict) };
  cleanUps.unshift(() => allLanes((lane) => lane.stop()));
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

async function freePorts(): Promise<Ports> {
  return { http: await freePort(), tls: await freePort() };
}

/** An HAProxy before both proxies; `more` goes into its `defaults`. */
async function openLane(printed: string, { http, tls }: Ports, more = ''): Promise<Haproxy> {
  const opened = await startHaproxy(
    moved(printed, [
      ['10.0.0.11:80', `${addressOf('one')}:80`],
      ['10.0.0.12:80', `${addressOf('two')}:80`],
      ['10.0.0.11:443', `${addressOf('one')}:443`],
      ['10.0.0.12:443', `${addressOf('two')}:443`],
      ['bind :80', `bind 127.0.0.1:${http}`],
      ['bind :443', `bind 127.0.0.1:${tls}`],
    ]).replace(/^defaults$/m, `defaults\n  ${more}`),
  );
  cleanUps.unshift(() => opened.stop());
  return opened;
}

function startLanes(kind: string, { http, tls }: Ports): typeof lanes {
  const asked = { host: 'shop.test', methods: ['GET', 'POST'] as const, ca: authority.certificate };
  return {
    [`http${kind}`]: startTraffic({ ...asked, bases: [`http://127.0.0.1:${http}`] }),
    [`tls${kind}`]: startTraffic({ ...asked, bases: [`https://127.0.0.1:${tls}`] }),
  };
}

const allLanes = <Result>(ask: (lane: Traffic) => Promise<Result>): Promise<Result[]> =>
  Promise.all(Object.values(lanes).map(ask));

/** The tables of the pages, one under the other, with the names that the rest of a test expects. */
async function printedConfig(): Promise<string> {
  const [production, addresses] = await Promise.all(
    ['production', 'client-addresses'].map((name) =>
      readFile(new URL(`../../docs/howto/${name}.md`, import.meta.url), 'utf8'),
    ),
  );
  const blocksOf = (page = ''): readonly string[] =>
    [...page.matchAll(/```toml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
  const extension = blocksOf(production).find((text) => text.includes('ReadyPort')) ?? '';
  const options = blocksOf(addresses).find((text) => text.includes('ProxyProtocol')) ?? '';
  expect(extension).toContain('ProxyLeaveDelay');
  expect(options).toContain('"10.0.0.5"');
  return `ListenAddr = ":8080"
DockerURL = "unix:///var/run/docker.sock"
PollInterval = "3s"

${extension}Image = "interlock/extension:dev"
ServiceName = "interlock-extension"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "${PROXY}"

${options.replace('10.0.0.5', swarm.hostAddress ?? '')}`;
}

const hostOf = (app: string): string => `${app}.test`;

/** With a certificate of its own, away from the nodes of the proxies. */
async function createApp(name: string, network: string): Promise<void> {
  const { certificate, key } = authority.issue([hostOf(name)]);
  const Data = Buffer.from(`${certificate}${key}`).toString('base64');
  await interlock.docker.createSecret({ Name: `${name}-pair`, Data, Labels: {} });
  await interlock.createApp({
    name,
    networks: [network],
    replicas: 2,
    constraints: ['node.labels.lb!=true'],
    lb: { hosts: hostOf(name), port: '8080', ssl_cert: `${name}-pair` },
  });
}

function addressOf(server: Server): string {
  return swarm.nodes[CARRIERS[server] - 1]?.address ?? '';
}

/**
 * The status of one answer straight from a proxy, on a connection of its own, which begins as the PROXY protocol wants it.
 * Rejects when there is no connection, or no answer on it.
 */
function askProxy(server: Server, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const asking = connect({ host: addressOf(server), port: 80 });
    asking.setTimeout(5_000, () => asking.destroy(new Error('no answer in 5 s')));
    asking.once('connect', () => {
      asking.write('PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n');
      asking.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    });
    asking.on('data', (chunk: Buffer) => chunks.push(chunk));
    asking.once('error', reject);
    asking.once('close', () => {
      const [, status] = /^HTTP\/1\.1 (\d+) /.exec(Buffer.concat(chunks).toString()) ?? [];
      if (status === undefined) {
        reject(new Error('closed without an answer'));
      } else {
        resolve(Number(status));
      }
    });
  });
}

const servers = Object.keys(CARRIERS) as readonly Server[];

async function untilBothServe(host: string): Promise<void> {
  await eventually(async () => {
    expect(await Promise.all(servers.map((server) => askProxy(server, host)))).toEqual([200, 200]);
    expect((await haproxy.servers()).map(({ status }) => status)).toEqual(['UP', 'UP', 'UP', 'UP']);
  }, SLOW);
}

const proxyTasks = async (): Promise<readonly string[]> => (await runningOf(interlock, PROXY)).map(({ id }) => id);

/** Waits until each of two proxies has been replaced, and Swarm says that this was all. */
async function untilRolled(before: readonly string[]): Promise<void> {
  await eventually(async () => {
    const now = await proxyTasks();
    const { UpdateStatus } = await interlock.inspectService(PROXY);
    expect([now.length, now.filter((id) => before.includes(id)), UpdateStatus?.State]).toEqual([2, [], 'completed']);
  }, SLOW);
}

interface Departure {
  readonly server: Server;
  /** Why HAProxy left it. */
  readonly because: string;
  /** Answers that the proxy gave, asked by us alone, after HAProxy had left it and before it closed its port. */
  readonly answeredAfter: number;
}

interface Watch {
  readonly departures: readonly Departure[];
  /** Beats at which one proxy could not be asked, and at which none could. */
  readonly away: { one: number; both: number; beats: number };
  stop(): Promise<void>;
}

/** Looks at HAProxy and at both proxies, and notes each time that HAProxy leaves one. */
function watchDepartures(): Watch {
  const departures: Departure[] = [];
  const away = { one: 0, both: 0, beats: 0 };
  const over = new AbortController();
  const isDown = (states: readonly ServerState[], server: Server): ServerState | undefined =>
    states.find((one) => one.backend === 'proxies' && one.server === server && one.status.startsWith('DOWN'));

  async function watch(server: Server): Promise<void> {
    while (!over.signal.aborted) {
      const down = isDown(await haproxy.servers(), server);
      if (down !== undefined) {
        departures.push({
          server,
          because: `${down.check} ${down.checkCode}`,
          answeredAfter: await answersUntilClosed(server),
        });
        await eventually(async () => isDown(await haproxy.servers(), server) === undefined, SLOW);
      }
      await pause();
    }
  }

  async function answersUntilClosed(server: Server): Promise<number> {
    for (let answers = 0; ; answers += 1) {
      if ((await askProxy(server, 'shop.test').catch(() => 0)) !== 200) {
        return answers;
      }
      await pause();
    }
  }

  async function count(): Promise<void> {
    while (!over.signal.aborted) {
      const asked = await Promise.allSettled(servers.map((server) => askProxy(server, 'shop.test')));
      const lost = asked.filter((one) => one.status === 'rejected').length;
      away.beats += 1;
      away.one += lost === 1 ? 1 : 0;
      away.both += lost === 2 ? 1 : 0;
      await pause();
    }
  }

  const running = [...servers.map((server) => watch(server)), count()];
  return {
    departures,
    away,
    async stop() {
      over.abort();
      await Promise.all(running);
    },
  };
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}

/** What was seen while `act` ran, and until both proxies serve again. */
async function watched(what: string, act: (watch: Watch) => Promise<void>): Promise<Watch> {
  const sinceMs = Date.now();
  const watch = watchDepartures();
  try {
    await act(watch);
    await untilBothServe('shop.test');
    await allLanes((lane) => lane.answeredBy(50));
  } finally {
    await watch.stop();
  }
  const during = Object.entries(lanes).map(([name, lane]) => {
    const asked = lane.exchanges.filter(({ startedMs }) => startedMs >= sinceMs);
    return `${name}: ${lane.failed(sinceMs).length} failed of ${asked.length}`;
  });
  console.log(what, during.join(', '), JSON.stringify(watch.departures), JSON.stringify(watch.away));
  return watch;
}

/** Begins a roll by `begin`, and waits for its end. */
async function rolled(what: string, begin: () => Promise<void>): Promise<Watch> {
  const before = await proxyTasks();
  return watched(what, async () => {
    await begin();
    await untilRolled(before);
  });
}

async function rollByHand(): Promise<void> {
  await interlock.cli('service', 'update', '--force', '--detach', '--no-resolve-image', PROXY);
}

/** No request of any lane failed, and HAProxy had left each proxy that went, by its own word, while that still answered. */
function expectNoLoss({ departures, away }: Watch, gone: readonly Server[] = servers): void {
  expect(Object.values(lanes).flatMap((lane) => lane.failed())).toEqual([]);
  expect(departures.map(({ server }) => server).sort()).toEqual([...gone].sort());
  expect(departures.map(({ because }) => because)).toEqual(gone.map(() => 'L7STS 503'));
  for (const { answeredAfter } of departures) {
    expect(answeredAfter).toBeGreaterThan(0);
  }
  expect(away.one).toBeGreaterThan(0);
  expect(away.both).toBe(0);
}

describe('proxies behind HAProxy, as the how-tos have both', () => {
  it('rolled by hand: no request fails, and HAProxy has left each proxy before that closes its ports', async () => {
    expectNoLoss(await rolled('rolled by hand:', rollByHand));
  }, 600_000);

  it('rolled by core for a new network and a new certificate: no request fails', async () => {
    const watch = await rolled('a new network and certificate:', async () => {
      await interlock.createNetwork('back');
      await createApp('other', 'back');
    });
    expectNoLoss(watch);
    await untilBothServe('other.test');
  }, 600_000);

  it('new tokens for both roles: no request fails, nobody is refused, and in the end everybody is connected', async () => {
    const tokens = async (): Promise<readonly string[]> => {
      const names = (await interlock.cli('secret', 'ls', '--format', '{{.Name}}')).split('\n');
      return names.filter((name) => name.includes('.token.')).sort();
    };
    const before = await tokens();
    const watch = await rolled('new tokens:', async () => {
      const told = await interlock.exec(`${STACK}_core`, ['interlock', 'token', 'rotate', '--wait']);
      expect(told.match(/: done, the old token is gone$/gm)).toHaveLength(2);
    });
    expectNoLoss(watch);

    const after = await tokens();
    expect(after).toHaveLength(2);
    expect(after.filter((name) => before.includes(name))).toEqual([]);
    const refused = async () =>
      (await interlock.coreLog()).filter(({ msg }) => msg === 'call refused at the door').length;
    expect(await refused()).toBe(0);
    // Who has no token is: so the lines of that name would be there.
    const stranger = interlock.exec(`${STACK}_core`, ['interlock', 'status', '--endpoint', '127.0.0.1:8080']);
    await expect(stranger).rejects.toThrow();
    await eventually(async () => (await refused()) > 0, PATIENCE);
    await eventually(async () => {
      const text = await interlock.exec(`${STACK}_core`, ['interlock', 'status', '--json']);
      const [cluster] = (JSON.parse(text) as StatusReport).clusters;
      expect(cluster?.extensionConnected).toBe(true);
      const running = cluster?.proxies.filter(({ desiredState }) => desiredState === 'running') ?? [];
      expect(running.map(({ state, connected }) => [state, connected])).toEqual([
        ['running', true],
        ['running', true],
      ]);
    }, PATIENCE);
  }, 600_000);

  it('a table that is given another name keeps its services, by one roll: no request fails, and the old name leaves nothing', async () => {
    const ids = async () =>
      Promise.all([PROXY, 'interlock-extension'].map(async (name) => (await interlock.inspectService(name)).ID));
    const before = await ids();
    const watch = await rolled('a table renamed:', async () => {
      await useConfig(interlock, (await printedConfig()).replaceAll('[Extensions.default', '[Extensions.main'));
    });
    expectNoLoss(watch);
    expect(await ids()).toEqual(before);
    const { Labels } = (await interlock.inspectService(PROXY)).Spec;
    expect(Labels['com.docker.interlock.extension']).toBe('main');
    await eventually(async () => {
      const names = await Promise.all(
        ['config', 'secret'].map((kind) => interlock.cli(kind, 'ls', '--format', '{{.Name}}')),
      );
      expect(names.join('')).toMatch(/\.proxy\.main\./);
      expect(names.join('')).not.toMatch(/\.default\./);
    }, PATIENCE);
    // It is delivered to as before.
    const host = 'after-the-name.test';
    await interlock.updateService('shop', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = `shop.test,${host}`;
    });
    await untilBothServe(host);
  }, 900_000);

  it('a node that is drained and taken back: no request fails', async () => {
    const watch = await watched('a node drained and taken back:', async ({ departures }) => {
      await interlock.cli('node', 'update', '--availability', 'drain', 'n2');
      await eventually(() => departures.length === 1, SLOW);
      await interlock.cli('node', 'update', '--availability', 'active', 'n2');
      await eventually(async () => (await proxyTasks()).length === 2, SLOW);
    });
    expectNoLoss(watch, ['one']);
  }, 600_000);

  it('what is long: a download that ends within the grace period is whole, a WebSocket is cut with its proxy and opens again', async () => {
    const base = `http://127.0.0.1:${ports.http}`;
    const open = () => openWebSocket(base, 'shop.test', '/ws', AbortSignal.timeout(10_000));
    const sockets = await Promise.all(Array.from({ length: 4 }, open));
    const isAlive = (socket: (typeof sockets)[number]): Promise<boolean> =>
      echoed(socket, 'still there?', AbortSignal.timeout(10_000)).then(
        () => true,
        () => false,
      );
    expect(await Promise.all(sockets.map(isAlive))).toEqual([true, true, true, true]);
    const downloads: Promise<number>[] = [];
    const watch = await rolled('with long connections:', async () => {
      await rollByHand();
      // Begun at both proxies, and under way while the first is told to stop, closes its port, and is gone.
      for (let count = 0; count < 10; count += 1) {
        downloads.push(linesOf(base, 'shop.test'));
        await allLanes((lane) => lane.answeredBy(20));
      }
    });
    const whole = await Promise.all(downloads);
    const alive = await Promise.all(sockets.map(isAlive));
    const again = await Promise.all(Array.from({ length: 4 }, open));
    const aliveAgain = await Promise.all(again.map(isAlive));
    for (const socket of [...sockets, ...again]) {
      socket.destroy();
    }
    expectNoLoss(watch);
    expect(whole).toEqual(downloads.map(() => DOWNLOAD_LINES));
    expect(alive).toEqual([false, false, false, false]);
    expect(aliveAgain).toEqual([true, true, true, true]);
  }, 900_000);

  it('over all of it, no request of any lane has failed', async () => {
    await allLanes((lane) => lane.stop());
    for (const [name, lane] of Object.entries(lanes)) {
      console.log(name, tallyOf(lane));
      expect(lane.failed()).toEqual([]);
      const kinds = new Set(lane.exchanges.map(({ method, fresh }) => `${method} ${fresh ? 'fresh' : 'kept'}`));
      expect([...kinds].sort()).toEqual(['GET fresh', 'GET kept', 'POST fresh', 'POST kept']);
    }
  });

  it('a node that loses its power tells nobody: what is in flight there is lost, no connection that is made afterwards', async () => {
    lanes = startLanes('', ports);
    await allLanes((lane) => lane.answeredBy(20));
    await swarm.killNode(CARRIERS.two);
    const deadMs = Date.now();
    await eventually(async () => {
      const down = (await haproxy.servers()).filter(({ status }) => status.startsWith('DOWN'));
      expect(down.map(({ server }) => server)).toEqual(['two', 'two']);
    }, SLOW);
    await allLanes((lane) => lane.answeredBy(50));
    await allLanes((lane) => lane.stop());
    for (const [name, lane] of Object.entries(lanes)) {
      console.log('power loss:', name, tallyOf(lane));
      expect(lane.exchanges.some(({ fresh, startedMs }) => fresh && startedMs >= deadMs)).toBe(true);
      expect(lane.failed(deadMs).filter(({ fresh }) => fresh)).toEqual([]);
    }
  });
});

/** A line every half second: 20 s. */
const DOWNLOAD_LINES = 40;

/** How many lines arrive; rejects when the answer ends short. */
function linesOf(base: string, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = httpRequest(`${base}/stream?n=${DOWNLOAD_LINES}&ms=500`, { headers: { host } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => resolve(Buffer.concat(chunks).toString().split('\n').length - 1));
    });
    asking.once('error', reject);
    asking.end();
  });
}
