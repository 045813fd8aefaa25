/**
 * Two service clusters on a real Swarm, as docs/howto/service-clusters.md has them: each on nodes of its own, in host mode on the same port,
 * with networks of its own, constraints with a single `=` as the original's how-to prints them. And shares by weight.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSwarm } from '../../support/bed.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';
import { deployInterlock, type Interlock, type TaskJson } from '../../support/interlock.ts';

const REGIONS = ['east', 'west'] as const;
type Region = (typeof REGIONS)[number];

const table = (region: Region) => `
[Extensions.${region}]
Image = "interlock/extension:dev"
ServiceName = "${region}-extension"
ServiceCluster = "${region}"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "${region}-proxy"
ProxyConstraints = ["node.labels.region=${region}"]
ProxyStopGracePeriod = "5s"
PublishMode = "host"
PublishedPort = 8080
Networks = ["${region}-front"]
`;

let interlock: Interlock;
const cleanUps: (() => Promise<void>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  const swarm = await startSwarm({ name: 'regions', nodes: 2 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, REGIONS.map(table).join(''));
  cleanUps.unshift(() => interlock.down());
  const nodes = (await interlock.cli('node', 'ls', '--format', '{{.Hostname}}')).trim().split('\n').sort();
  for (const [at, region] of REGIONS.entries()) {
    // Swarm writes a node that has just come up too: then the update is out of sequence.
    await eventually(() => interlock.cli('node', 'update', '--label-add', `region=${region}`, nodes[at] ?? ''), {
      timeoutMs: 30_000,
    });
    await interlock.createNetwork(`${region}-front`);
  }
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

async function tasksOf(service: string): Promise<readonly TaskJson[]> {
  const tasks = await interlock.docker.listTasks({ filters: { service: [service], 'desired-state': ['running'] } });
  return (tasks as readonly TaskJson[]).filter(({ Status }) => Status.State === 'running');
}

/** Nodes of the bed are called n1 and n2; the proxy of a region is on its node alone. */
const baseOf = (region: Region) => `http://${interlock.swarm.nodes[REGIONS.indexOf(region)]?.address ?? ''}:8080`;

const serving = (region: Region, host: string, name: string, timeoutMs = 120_000) =>
  eventually(
    async () => {
      const { status, body } = await interlock.ask(baseOf(region), host);
      expect([status, body.split('\n', 1)[0]]).toEqual([200, name]);
    },
    { timeoutMs, everyMs: 250 },
  );

async function createApp(name: string, region: string, network: string, lb: Readonly<Record<string, string>> = {}) {
  await interlock.createApp({
    name,
    networks: [network],
    lb: { hosts: `${name}.local`, port: '8080', service_cluster: region, ...lb },
  });
}

const versionsOf = (region: Region) =>
  Promise.all(
    [`${region}-extension`, `${region}-proxy`].map(async (name) => {
      const { Version } = await interlock.inspectService(name);
      return [name, Version.Index, (await tasksOf(name)).map(({ ID }) => ID)];
    }),
  );

/** Nothing of this cluster is on its way: the end of a roll writes to the service too, and a task answers before Swarm calls it running. */
const atRest = (region: Region) =>
  eventually(
    async () => {
      const { UpdateStatus } = await interlock.inspectService(`${region}-proxy`);
      expect([undefined, 'completed']).toContain(UpdateStatus?.State);
      expect(await tasksOf(`${region}-proxy`)).toHaveLength(1);
      expect(await tasksOf(`${region}-extension`)).toHaveLength(1);
    },
    { timeoutMs: 90_000, everyMs: 500 },
  );

async function findings(): Promise<readonly unknown[]> {
  return (await interlock.coreLog()).flatMap((line) => (line['finding'] === undefined ? [] : [line['finding']]));
}

describe('service clusters', () => {
  it('serve their own services, each at its own proxies, on one port of different nodes', async () => {
    for (const region of REGIONS) {
      await createApp(`app-${region}`, region, `${region}-front`);
    }
    for (const region of REGIONS) {
      await serving(region, `app-${region}.local`, `app-${region}`);
    }
    expect((await interlock.ask(baseOf('east'), 'app-west.local')).status).toBe(503);
    expect((await interlock.ask(baseOf('west'), 'app-east.local')).status).toBe(503);
    expect(await findings()).toContainEqual(
      expect.objectContaining({ code: 'SETTINGS.CONSTRAINT_REWRITTEN', subject: 'Extensions.east.ProxyConstraints' }),
    );
  });

  it('do not notice each other: a change in one leaves the tasks and the version indexes of the other', async () => {
    await atRest('west');
    const before = await versionsOf('west');
    await createApp('second', 'east', 'east-front');
    await serving('east', 'second.local', 'second');
    await interlock.updateService('app-east', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = 'renamed.local';
    });
    await serving('east', 'renamed.local', 'app-east');

    expect(await versionsOf('west')).toEqual(before);
    await serving('west', 'app-west.local', 'app-west');
  });

  it('a service that names none of them, or is on none of their networks, is a finding and not routed', async () => {
    await createApp('nowhere', 'north', 'east-front');
    await interlock.createNetwork('other');
    await createApp('apart', 'east', 'other');
    await eventually(
      async () => {
        const said = await findings();
        expect(said).toContainEqual(
          expect.objectContaining({ code: 'LABEL.SERVICE_CLUSTER_UNKNOWN', service: 'nowhere', value: 'north' }),
        );
        expect(said).toContainEqual(expect.objectContaining({ code: 'LABEL.NETWORK_NOT_OFFERED', service: 'apart' }));
      },
      { timeoutMs: 60_000, everyMs: 500 },
    );
    for (const region of REGIONS) {
      expect((await interlock.ask(baseOf(region), 'nowhere.local')).status).toBe(503);
      expect((await interlock.ask(baseOf(region), 'apart.local')).status).toBe(503);
    }
  });
});

describe('weight', () => {
  it('shares requests between services of one host, and follows the label', async () => {
    await createApp('old', 'east', 'east-front', { hosts: 'shared.local' });
    await createApp('new', 'east', 'east-front', { hosts: 'shared.local', weight: '3' });
    const shares = async () => {
      const seen: Record<string, number> = { old: 0, new: 0 };
      for (let count = 0; count < 40; count += 1) {
        const name = (await interlock.ask(baseOf('east'), 'shared.local')).body.split('\n', 1)[0] ?? '';
        seen[name] = (seen[name] ?? 0) + 1;
      }
      return seen;
    };
    const untilShared = (old: number) =>
      eventually(
        async () => {
          const seen = await shares();
          // Each worker process takes its own turns, so whole turns may be cut on each.
          expect(Math.abs((seen['old'] ?? 0) - old)).toBeLessThanOrEqual(4);
          expect((seen['old'] ?? 0) + (seen['new'] ?? 0)).toBe(40);
        },
        { timeoutMs: 90_000, everyMs: 500 },
      );
    await untilShared(10);

    await interlock.updateService('new', (spec) => {
      delete spec.Labels['com.docker.lb.weight'];
    });
    await untilShared(20);
  });

  it('scaling the old service to zero moves all requests, and none fails meanwhile', async () => {
    const answers: number[] = [];
    const stop = new AbortController();
    const load = (async () => {
      while (!stop.signal.aborted) {
        answers.push((await interlock.ask(baseOf('east'), 'shared.local')).status);
      }
    })();
    await interlock.updateService('old', (spec) => {
      spec.Mode.Replicated = { Replicas: 0 };
    });
    await eventually(
      async () => {
        const tasks = await interlock.docker.listTasks({ filters: { service: ['old'] } });
        const living = (tasks as readonly TaskJson[]).filter(({ Status }) => Status.State === 'running');
        expect(living).toEqual([]);
      },
      { timeoutMs: 60_000, everyMs: 250 },
    );
    stop.abort();
    await load;

    expect(answers.length).toBeGreaterThan(20);
    expect(answers.filter((status) => status !== 200)).toEqual([]);
    expect((await interlock.ask(baseOf('east'), 'shared.local')).body).toMatch(/^new\n/);
  });
});
