import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseConfigObject, parseServiceObject } from '../../../src/snapshot/engine-objects.ts';
import { parseNetwork, parseNetworks } from '../../../src/snapshot/network.ts';
import { parseNode, parseNodes } from '../../../src/snapshot/node.ts';
import { SnapshotParseError } from '../../../src/snapshot/parse.ts';
import { parseSecrets } from '../../../src/snapshot/secret.ts';
import { parseService, parseServices } from '../../../src/snapshot/service.ts';
import { buildSnapshot } from '../../../src/snapshot/snapshot.ts';
import { parseTask, parseTasks } from '../../../src/snapshot/task.ts';

/** What an engine of that version printed: a replicated service in the middle of a roll, a global one, a job. */
function captured(version: string): Record<string, unknown> {
  const file = new URL(`fixtures/engine-${version}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
}

const HEADER = {
  ID: 'x1',
  Version: { Index: 7 },
  CreatedAt: '2026-01-01T00:00:00Z',
  UpdatedAt: '2026-01-01T00:00:00.5Z',
};
const service = (spec: object = {}, more: object = {}) => ({ ...HEADER, Spec: { Name: 's', ...spec }, ...more });
const task = (more: object = {}) => ({
  ...HEADER,
  ServiceID: 's1',
  Status: { State: 'running' },
  DesiredState: 'running',
  ...more,
});
const node = (more: object = {}) => ({ ...HEADER, Spec: { Role: 'worker' }, ...more });

describe.each(['20.10', '28.5'])('what Docker %s prints', (version) => {
  const raw = captured(version);

  it('has its services in it', () => {
    const services = parseServices(raw['services']);
    const web = services.find((one) => one.name === 'web');
    const app = parseNetworks(raw['networks']).find((one) => one.name === 'app');

    expect(services.map((one) => [one.name, one.mode.kind]).sort()).toEqual([
      ['everywhere', 'global'],
      ['job', 'job'],
      ['web', 'replicated'],
    ]);
    expect(web).toMatchObject({
      labels: { 'com.docker.lb.hosts': 'app.local' },
      containerLabels: { c: 'd' },
      networkIds: [app?.id],
      endpointMode: 'vip',
      updateState: 'updating',
      ports: [
        { protocol: 'tcp', mode: 'host', targetPort: 80, publishedPort: undefined },
        { protocol: 'tcp', mode: 'ingress', targetPort: 81, publishedPort: 30000 },
      ],
    });
    expect(web?.virtualIps.map((vip) => vip.address)).toEqual(['10.0.0.3', '10.0.1.2']);
    expect(services.find((one) => one.name === 'everywhere')).toMatchObject({ endpointMode: 'dnsrr', virtualIps: [] });
  });

  it('has its tasks in it', () => {
    const tasks = parseTasks(raw['tasks']);
    const leaving = tasks.find((one) => one.desiredState === 'shutdown');

    expect(tasks).toHaveLength(4);
    expect(leaving).toMatchObject({ state: 'running' });
    expect(leaving?.attachments.map((one) => one.addresses)).toEqual([['10.0.0.4'], ['10.0.1.3']]);
    expect(leaving?.hostPorts).toEqual([]); // withdrawn before the container stops
  });

  it('has nodes, networks, secrets and configs in it', () => {
    expect(parseNodes(raw['nodes'])).toMatchObject([{ role: 'manager', state: 'ready', address: '10.99.10.11' }]);
    expect(parseNetworks(raw['networks'])).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'app', driver: 'overlay', scope: 'swarm', labels: { a: 'b' } }),
        expect.objectContaining({ name: 'ingress', ingress: true, labels: {} }),
      ]),
    );
    expect(parseSecrets(raw['secrets'])).toMatchObject([{ name: 'cert', labels: { a: 'b' } }]);
    expect((raw['configs'] as unknown[]).map(parseConfigObject)).toMatchObject([{ name: 'conf', labels: { a: 'b' } }]);
  });

  it('keeps whole specs', () => {
    const [printed] = raw['services'] as [{ Spec: object; PreviousSpec?: object }];

    const parsed = parseServiceObject(printed);

    expect(parsed.spec).toEqual(printed.Spec);
    expect(parsed.previousSpec).toEqual(printed.PreviousSpec);
  });
});

describe('a service', () => {
  it.each([
    ['no mode', undefined, { kind: 'replicated', replicas: 1 }],
    ['no number of replicas', { Replicated: {} }, { kind: 'replicated', replicas: 1 }],
    ['no replica', { Replicated: { Replicas: 0 } }, { kind: 'replicated', replicas: 0 }],
    ['global', { Global: {} }, { kind: 'global' }],
    ['a global job', { GlobalJob: {} }, { kind: 'job' }],
  ])('with %s', (_, Mode, mode) => {
    expect(parseService(service({ Mode })).mode).toEqual(mode);
  });

  it('needs no more than a name', () => {
    expect(parseService(service())).toMatchObject({
      labels: {},
      containerLabels: {},
      networkIds: [],
      endpointMode: 'vip',
      virtualIps: [],
      ports: [],
      updateState: 'none',
    });
  });

  it('of an old client has its networks in the old place', () => {
    expect(parseService(service({ Networks: [{ Target: 'n1' }] })).networkIds).toEqual(['n1']);
    expect(
      parseService(service({ Networks: [{ Target: 'n1' }], TaskTemplate: { Networks: [{ Target: 'n2' }] } }))
        .networkIds,
    ).toEqual(['n2']);
  });

  it('has no virtual address where the Engine prints none', () => {
    const Endpoint = {
      VirtualIPs: [{ NetworkID: 'n1' }, { NetworkID: 'n2', Addr: '' }, { NetworkID: 'n3', Addr: 'fd00::2/64' }],
    };
    expect(parseService(service({}, { Endpoint })).virtualIps).toEqual([{ networkId: 'n3', address: 'fd00::2' }]);
  });

  it('in a state of update that is new to us is in none', () => {
    expect(parseService(service({}, { UpdateStatus: { State: 'pondering' } })).updateState).toBe('none');
  });

  it('has times that sort as text, whatever zeros Go left out', () => {
    const printed = [
      '2026-01-01T00:00:00Z',
      '2026-01-01T00:00:00.46Z',
      '2026-01-01T00:00:00.465Z',
      '2026-01-01T00:00:01Z',
    ];
    const parsed = printed.map((CreatedAt) => parseService(service({}, { CreatedAt })).createdAt);

    expect([...parsed].sort()).toEqual(parsed);
    expect([...printed].sort()).not.toEqual(printed);
  });
});

describe('a task', () => {
  it('may have no node and no address yet', () => {
    const parsed = parseTask(
      task({ NodeID: '', Status: { State: 'PENDING', PortStatus: {} }, NetworksAttachments: null }),
    );

    expect(parsed).toMatchObject({ nodeId: undefined, state: 'pending', attachments: [], hostPorts: [] });
  });

  it('keeps host ports only, each once', () => {
    const host = { Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'host' };
    const Ports = [host, host, { Protocol: 'tcp', TargetPort: 81, PublishedPort: 30000, PublishMode: 'ingress' }];

    expect(parseTask(task({ Status: { State: 'running', PortStatus: { Ports } } })).hostPorts).toEqual([
      { protocol: 'tcp', mode: 'host', targetPort: 80, publishedPort: 8080 },
    ]);
  });

  it('in a state that is new to us is refused: guessing could send traffic to it', () => {
    expect(() => parseTask(task({ DesiredState: 'levitating' }))).toThrow(/task x1, DesiredState/);
  });
});

describe('a node', () => {
  it.each([
    ['10.0.0.5', undefined, '10.0.0.5'],
    ['0.0.0.0', '10.0.0.5:2377', '10.0.0.5'],
    ['', '[fd00::5]:2377', 'fd00::5'],
    ['0.0.0.0', undefined, undefined],
    ['127.0.0.1', '10.0.0.5:2377', '127.0.0.1'],
  ])('seen at "%s", managing at %s, has the address %s', (Addr, managerAddr, address) => {
    const ManagerStatus = managerAddr === undefined ? undefined : { Addr: managerAddr };
    expect(parseNode(node({ Status: { State: 'ready', Addr }, ManagerStatus })).address).toBe(address);
  });

  it('that has not reported yet is unknown', () => {
    expect(parseNode(node())).toMatchObject({ hostname: '', state: 'unknown', availability: 'active', labels: {} });
  });
});

describe('a network', () => {
  it('has no driver until Swarm has allocated it', () => {
    expect(parseNetwork({ Id: 'n1', Name: 'n', Labels: null })).toEqual({
      id: 'n1',
      name: 'n',
      driver: '',
      scope: 'local',
      ingress: false,
      labels: {},
    });
  });
});

describe('an answer that cannot be read', () => {
  it('fails the whole list and names the object and the place', () => {
    const problem = caught(() => parseServices([service(), { ...service(), ID: 'bad', Spec: { Name: 5 } }]));

    expect(problem).toBeInstanceOf(SnapshotParseError);
    expect(problem).toMatchObject({ object: 'service', id: 'bad', path: 'Spec.Name' });
  });

  it.each([[{}], [null], ['[]']])('is %j where a list belongs', (raw) => {
    expect(() => parseServices(raw)).toThrow(SnapshotParseError);
  });
});

describe('buildSnapshot', () => {
  it('carries the highest version of its parts', () => {
    const parts = {
      services: [parseService(service({}, { Version: { Index: 3 } }))],
      tasks: [parseTask(task({ Version: { Index: 12 } }))],
      nodes: [parseNode(node())],
      networks: [],
      secrets: [],
    };

    expect(buildSnapshot(parts, 1000)).toEqual({ ...parts, versionIndex: 12, observedAtMs: 1000 });
  });
});

function caught(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}
