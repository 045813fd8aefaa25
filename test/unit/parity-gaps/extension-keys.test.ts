/** Key by key of `[Extensions.<name>]`: what the operator sets reaches the spec of the service it is about. A key without a row fails. */
import { describe, expect, it } from 'vitest';
import { type Carried, extensionSpec, type Home, proxySpec, type SpecJson } from '../../../src/core/publish/desired.ts';
import { type Json, mergeSpecs } from '../../../src/core/publish/merge.ts';
import { EXTENSION_SCHEMA } from '../../../src/settings/core-schema.ts';
import { coreSettings } from '../../support/settings.ts';

const HOME: Home = { serviceId: 'core', stack: 'interlock', controlNetworkIds: ['ctl'], endpoint: 'core:8080' };
const CARRIED: Carried = { config: { id: 'c1', name: 'c1' }, digest: 'd', networkIds: ['ctl'], secrets: [] };
const SECOND = 1_000_000_000;

function specsOf(lines: string): Readonly<Record<'extension' | 'proxy', SpecJson>> {
  const [settings] = coreSettings(`[Extensions.default]\n${lines}\n`).extensions;
  if (settings === undefined) {
    throw new Error('no extension');
  }
  return { extension: extensionSpec(settings, HOME, undefined), proxy: proxySpec(settings, HOME, CARRIED) };
}

interface Row {
  readonly key: string;
  readonly lines: string;
  readonly of: 'extension' | 'proxy';
  /** A part of the spec that is there with the lines, and not without. */
  readonly spec: object;
}

const container = (parts: object) => ({ TaskTemplate: { ContainerSpec: parts } });
const ports = (...list: readonly object[]) => ({ EndpointSpec: { Ports: list } });

const ROWS: readonly Row[] = [
  { key: 'Image', lines: 'Image = "mine/ext:2"', of: 'extension', spec: container({ Image: 'mine/ext:2' }) },
  { key: 'Args', lines: 'Args = ["-D"]', of: 'extension', spec: container({ Args: ['-D'] }) },
  { key: 'Labels', lines: 'Labels = { "a.B" = "x" }', of: 'extension', spec: { Labels: { 'a.B': 'x' } } },
  {
    key: 'ContainerLabels',
    lines: 'ContainerLabels = { "a.B" = "x" }',
    of: 'extension',
    spec: container({ Labels: { 'a.B': 'x' } }),
  },
  {
    key: 'Constraints',
    lines: 'Constraints = ["node.role=worker"]',
    of: 'extension',
    spec: { TaskTemplate: { Placement: { Constraints: ['node.role==worker'] } } },
  },
  {
    key: 'PlacementPreferences',
    lines: 'PlacementPreferences = ["spread=node.labels.zone"]',
    of: 'extension',
    spec: { TaskTemplate: { Placement: { Preferences: [{ Spread: { SpreadDescriptor: 'node.labels.zone' } }] } } },
  },
  { key: 'ServiceName', lines: 'ServiceName = "ext"', of: 'extension', spec: { Name: 'ext' } },
  { key: 'ProxyImage', lines: 'ProxyImage = "mine/proxy:2"', of: 'proxy', spec: container({ Image: 'mine/proxy:2' }) },
  { key: 'ProxyArgs', lines: 'ProxyArgs = ["-q"]', of: 'proxy', spec: container({ Args: ['-q'] }) },
  { key: 'ProxyLabels', lines: 'ProxyLabels = { "a.B" = "x" }', of: 'proxy', spec: { Labels: { 'a.B': 'x' } } },
  {
    key: 'ProxyContainerLabels',
    lines: 'ProxyContainerLabels = { "a.B" = "x" }',
    of: 'proxy',
    spec: container({ Labels: { 'a.B': 'x' } }),
  },
  { key: 'ProxyServiceName', lines: 'ProxyServiceName = "front"', of: 'proxy', spec: { Name: 'front' } },
  {
    key: 'ProxyConfigPath',
    lines: 'ProxyConfigPath = "/etc/x.conf"',
    of: 'proxy',
    spec: container({ Configs: [{ ConfigID: 'c1', File: { Name: '/etc/x.conf' } }] }),
  },
  { key: 'ProxyReplicas', lines: 'ProxyReplicas = 4', of: 'proxy', spec: { Mode: { Replicated: { Replicas: 4 } } } },
  {
    key: 'ProxyStopSignal',
    lines: 'ProxyStopSignal = "SIGQUIT"',
    of: 'proxy',
    spec: container({ StopSignal: 'SIGQUIT' }),
  },
  {
    key: 'ProxyStopGracePeriod',
    lines: 'ProxyStopGracePeriod = "5s"',
    of: 'proxy',
    spec: container({ StopGracePeriod: 5 * SECOND }),
  },
  {
    key: 'ProxyConstraints',
    lines: 'ProxyConstraints = ["node.labels.lb==true"]',
    of: 'proxy',
    spec: { TaskTemplate: { Placement: { Constraints: ['node.labels.lb==true'] } } },
  },
  {
    key: 'ProxyPlacementPreferences',
    lines: 'ProxyPlacementPreferences = ["spread=node.labels.zone"]',
    of: 'proxy',
    spec: { TaskTemplate: { Placement: { Preferences: [{ Spread: { SpreadDescriptor: 'node.labels.zone' } }] } } },
  },
  {
    key: 'ReadyPort',
    lines: 'PublishMode = "host"\nReadyPort = 8081',
    of: 'proxy',
    spec: ports({ Protocol: 'tcp', TargetPort: 8081, PublishedPort: 8081, PublishMode: 'host' }),
  },
  {
    key: 'ProxyLeaveDelay',
    lines: 'ProxyLeaveDelay = "5s"',
    of: 'proxy',
    spec: container({ Env: expect.arrayContaining(['INTERLOCK_LEAVE_DELAY_MS=5000']) as string[] }),
  },
  {
    key: 'ProxyUpdateDelay',
    lines: 'ProxyUpdateDelay = "30s"',
    of: 'proxy',
    spec: { UpdateConfig: { Delay: 30 * SECOND }, RollbackConfig: { Delay: 30 * SECOND } },
  },
  {
    key: 'PublishMode',
    lines: 'PublishMode = "host"\nPublishedPort = 80',
    of: 'proxy',
    spec: {
      UpdateConfig: { Order: 'stop-first' },
      ...ports({ Protocol: 'tcp', TargetPort: 80, PublishedPort: 80, PublishMode: 'host' }),
    },
  },
  {
    key: 'PublishedPort',
    lines: 'PublishedPort = 8080',
    of: 'proxy',
    spec: ports({ Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'ingress' }),
  },
  {
    key: 'TargetPort',
    lines: 'PublishedPort = 8080\nTargetPort = 8000',
    of: 'proxy',
    spec: ports({ TargetPort: 8000, PublishedPort: 8080 }),
  },
  {
    key: 'PublishedSSLPort',
    lines: 'PublishedSSLPort = 8443',
    of: 'proxy',
    spec: ports({ Protocol: 'tcp', TargetPort: 443, PublishedPort: 8443, PublishMode: 'ingress' }),
  },
  {
    key: 'TargetSSLPort',
    lines: 'PublishedSSLPort = 8443\nTargetSSLPort = 8444',
    of: 'proxy',
    spec: ports({ TargetPort: 8444, PublishedPort: 8443 }),
  },
];

/** What these do is more than a line of a spec; each has tests of its own, named in test/parity/keys.ts. */
const ELSEWHERE = [
  'Networks',
  'ServiceCluster',
  'Template',
  'Config',
  'HitlessServiceUpdate',
  'ConfigImage',
  'ConfigServiceName',
];

describe.each(ROWS)('$key', ({ lines, of, spec }) => {
  it('reaches the spec of its service', () => {
    expect(specsOf(lines)[of]).toMatchObject(spec);
    expect(specsOf('')[of]).not.toMatchObject(spec);
  });

  it('reaches a service that runs, beside what an operator changed there, and leaves it again', () => {
    const [before, after] = [specsOf('')[of], specsOf(lines)[of]];
    const own = { ...before, UpdateConfig: { ...(before['UpdateConfig'] as object), MaxFailureRatio: 0.5 } };
    const changed = mergeSpecs(before, after, own);
    expect(changed).toMatchObject(spec);
    expect(changed).toMatchObject({ UpdateConfig: { MaxFailureRatio: 0.5 } });
    expect(mergeSpecs(after, before, changed)).toEqual(own satisfies Json);
  });

  it('leaves the other service alone', () => {
    const other = of === 'proxy' ? 'extension' : 'proxy';
    expect(specsOf(lines)[other]).toEqual(specsOf('')[other]);
  });
});

it('every key has a row, or tests of its own', () => {
  expect([...ROWS.map(({ key }) => key), ...ELSEWHERE].sort()).toEqual(Object.keys(EXTENSION_SCHEMA.shape).sort());
});
