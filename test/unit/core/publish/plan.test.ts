import { describe, expect, it } from 'vitest';
import type { ServiceObject } from '../../../../src/core/engine/engine-api.ts';
import type { Delivery, Home, SpecJson } from '../../../../src/core/publish/desired.ts';
import { LABELS, TYPES } from '../../../../src/core/publish/names.ts';
import {
  type Desired,
  KEPT_CONFIGS,
  type KnownConfig,
  type Observed,
  planExtension,
  type Step,
} from '../../../../src/core/publish/plan.ts';
import { createArtifact } from '../../../../src/model/artifact.ts';
import { parseSecretName } from '../../../../src/model/names.ts';
import { assertNever } from '../../../../src/runtime/errors.ts';
import { extensionSettings } from '../../../support/settings.ts';

const HOME: Home = {
  serviceId: 'core',
  stack: 'interlock',
  controlNetworkIds: ['ctl'],
  endpoint: 'tasks.interlock_core:8080',
};

function delivery(text: string, parts: Partial<Delivery['requirements']> = {}): Delivery {
  const artifact = createArtifact([{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) }]);
  return { artifact, requirements: { networks: [{ id: 'app', name: 'app' }], secrets: [], ...parts } };
}

function desired(parts: Partial<Desired> = {}): Desired {
  return {
    settings: extensionSettings(),
    home: HOME,
    delivery: delivery('one'),
    mode: 'classic',
    secrets: new Map(),
    networks: new Map(),
    tokens: null,
    overdue: new Set(),
    plainLimitBytes: Number.POSITIVE_INFINITY,
    mayPack: true,
    nowMs: 1_000,
    refreshAfterMs: undefined,
    ...parts,
  };
}

const NOTHING: Observed = { extension: undefined, proxy: undefined, configs: [], referredConfigIds: new Set() };

/** A Swarm in miniature: what the steps would leave behind. */
function execute(steps: readonly Step[], before: Observed): Observed {
  return steps.reduce<Observed>((state, step, index): Observed => {
    switch (step.kind) {
      case 'create-config':
        return {
          ...state,
          configs: [...state.configs, { ...step.config, id: `c${state.configs.length}${index}` }],
        };
      case 'create-service':
        return { ...state, [step.role]: serviceObject(step.spec) };
      case 'update-service':
        return {
          ...state,
          [step.role]: { ...step.service, ...serviceObject(step.spec), version: step.service.version + 1 },
        };
      case 'remove-config':
        return { ...state, configs: state.configs.filter(({ id }) => id !== step.config.id) };
      case 'refuse-service':
      case 'refuse-config':
        return state;
      default:
        return assertNever(step);
    }
  }, before);
}

function nameOf(spec: SpecJson): string {
  const name = spec['Name'];
  return typeof name === 'string' ? name : '';
}

function serviceObject(spec: SpecJson): ServiceObject {
  return {
    id: `id-${nameOf(spec)}`,
    name: nameOf(spec),
    version: 1,
    labels: spec['Labels'] as Record<string, string>,
    spec,
    previousSpec: undefined,
    updateState: 'none',
    updateMessage: undefined,
  };
}

function converge(
  want: Desired,
  from: Observed = NOTHING,
): { readonly state: Observed; readonly passes: readonly (readonly Step[])[] } {
  const passes: (readonly Step[])[] = [];
  let state = from;
  for (;;) {
    const steps = planExtension(want, state);
    if (steps.length === 0) {
      return { state, passes };
    }
    passes.push(steps);
    state = execute(steps, state);
    if (passes.length > 20) {
      throw new Error('does not settle');
    }
  }
}

const tokensOf = (table: string) => ({
  extension: { id: `${table}-e`, name: `${table}-e` },
  proxy: { id: `${table}-p`, name: `${table}-p` },
});

const containerOf = (service: ServiceObject | undefined) =>
  ((service?.spec['TaskTemplate'] ?? {}) as { readonly ContainerSpec: Record<string, unknown> }).ContainerSpec;

/** As somebody left it who meant well; the labels stay. */
function damaged(service: ServiceObject, damage: Damage, added: readonly string[]): ServiceObject {
  const spec = structuredClone(service.spec) as { TaskTemplate: { ContainerSpec: Record<string, unknown> } };
  const container = spec.TaskTemplate.ContainerSpec;
  damage(container, spec.TaskTemplate);
  container['Env'] = [...((container['Env'] ?? []) as readonly string[]), ...added];
  return { ...service, spec };
}

type Damage = (container: Record<string, unknown>, template: Record<string, unknown>) => void;

const kinds = (passes: readonly (readonly Step[])[]) => passes.map((steps) => steps.map(({ kind }) => kind));

describe('planExtension', () => {
  it('makes the extension first, and the proxy only when there is something to serve', () => {
    expect(kinds(converge(desired({ delivery: undefined })).passes)).toEqual([['create-service']]);
    expect(kinds(converge(desired()).passes)).toEqual([['create-service', 'create-config'], ['create-service']]);
  });

  it('plans nothing when nothing changed', () => {
    const { state } = converge(desired());
    expect(planExtension(desired(), state)).toEqual([]);
  });

  it('finds its own work after a crash between the config and the service', () => {
    const [first] = converge(desired()).passes;
    const crashed = execute(
      (first ?? []).filter(({ kind }) => kind === 'create-config'),
      NOTHING,
    );
    expect(kinds(converge(desired(), crashed).passes)).toEqual([['create-service', 'create-service']]);
  });

  it('stores a new artifact under the next number and moves the proxy service onto it', () => {
    const { state } = converge(desired());
    const { passes, state: after } = converge(desired({ delivery: delivery('two') }), state);
    expect(kinds(passes)).toEqual([['create-config'], ['update-service']]);
    expect(after.configs.map(({ labels }) => labels[LABELS.sequence])).toEqual(['1', '2']);
    expect(after.configs[1]?.name).toMatch(/^com\.docker\.interlock\.proxy\.default\.2-[0-9a-f]{8}$/);
    expect(after.proxy?.spec).toMatchObject({
      TaskTemplate: {
        ContainerSpec: { Configs: [{ ConfigName: after.configs[1]?.name, File: { Name: '/etc/nginx/nginx.conf' } }] },
      },
    });
  });

  it('reuses a stored config when an older artifact comes back', () => {
    const one = converge(desired()).state;
    const two = converge(desired({ delivery: delivery('two') }), one).state;
    expect(kinds(converge(desired(), two).passes)).toEqual([['update-service']]);
  });

  it('attaches the control network and those of the model, and leaves what is not needed any more', () => {
    const { state } = converge(desired());
    expect(networks(state)).toEqual(['ctl', 'app']);
    const without = converge(desired({ delivery: delivery('two', { networks: [] }) }), state).state;
    expect(networks(without)).toEqual(['ctl']);
  });

  it('keeps what an operator set by docker service update', () => {
    const { state } = converge(desired());
    const edited = { ...state, proxy: state.proxy && withReplicas(state.proxy, 5) };
    expect(planExtension(desired(), edited)).toEqual([]);
    const { state: after } = converge(desired({ delivery: delivery('two') }), edited);
    expect(after.proxy?.spec).toMatchObject({ Mode: { Replicated: { Replicas: 5 } } });
  });

  it.each<[string, Damage]>([
    ['the control network', (_, template) => (template['Networks'] = [{ Target: 'app' }])],
    ['all networks', (_, template) => delete template['Networks']],
    ['the Proxy Config', (container) => (container['Configs'] = [])],
    ['the environment of the agent', (container) => delete container['Env']],
  ])('puts back what a proxy cannot do without, beside what an operator added: %s', (_, damage) => {
    const { state } = converge(desired());
    const edited = state.proxy && damaged(state.proxy, damage, ['OWN=1']);
    const { passes, state: after } = converge(desired(), { ...state, proxy: edited });
    expect(kinds(passes)).toEqual([['update-service']]);
    expect(networks(after)).toEqual(expect.arrayContaining(['ctl', 'app']));
    const container = containerOf(after.proxy);
    expect(container['Configs']).toEqual(containerOf(state.proxy)['Configs']);
    expect(container['Env']).toEqual(expect.arrayContaining(containerOf(state.proxy)['Env'] as string[]));
    expect(container['Env']).toContain('OWN=1');
  });

  it('knows a service of ours that lost its labels, and gives them back', () => {
    const { state } = converge(desired());
    const { [LABELS.applied]: applied = '' } = state.proxy?.labels ?? {};
    const bare = { [LABELS.applied]: applied };
    const proxy = state.proxy && { ...state.proxy, labels: bare, spec: { ...state.proxy.spec, Labels: bare } };
    const { passes, state: after } = converge(desired(), { ...state, proxy });
    expect(kinds(passes)).toEqual([['update-service']]);
    expect(after.proxy?.labels).toMatchObject({ [LABELS.type]: TYPES.proxy, [LABELS.extension]: 'default' });
  });

  it('brings changed settings to both services', () => {
    const { state } = converge(desired());
    const settings = extensionSettings('ProxyConstraints = ["node.labels.edge==true"]\nArgs = ["-D"]\n');
    const { passes, state: after } = converge(desired({ settings }), state);
    expect(kinds(passes)).toEqual([['update-service', 'update-service']]);
    expect(after.proxy?.spec).toMatchObject({
      TaskTemplate: { Placement: { Constraints: ['node.labels.edge==true'] } },
    });
    expect(after.extension?.spec).toMatchObject({ TaskTemplate: { ContainerSpec: { Args: ['-D'] } } });
  });

  it.each(['extension', 'proxy'] as const)('never overwrites a foreign service that has the name of its %s', (role) => {
    const service = serviceObject({ Name: `interlock-${role}`, Labels: { mine: 'yes' } });
    const taken = { ...converge(desired()).state, [role]: undefined, foreign: { [role]: { service, maker: 'them' } } };
    expect(planExtension(desired(), taken)).toEqual([{ kind: 'refuse-service', role, service, maker: 'them' }]);
    // Nothing is stored for a proxy that is not there.
    const [step] = planExtension(desired({ delivery: delivery('two') }), taken).filter(
      ({ kind }) => kind === 'create-config',
    );
    expect(step === undefined).toBe(role === 'proxy');
  });

  it('a table that was renamed goes on with the services that keep their names', () => {
    const { state } = converge(desired({ tokens: tokensOf('default') }));
    const settings = { ...extensionSettings(), name: 'main' };
    const renamed = desired({ settings, tokens: tokensOf('main'), delivery: delivery('two') });
    const { passes, state: after } = converge(renamed, { ...state, configs: [] });
    expect(kinds(passes)).toEqual([['update-service', 'create-config'], ['update-service']]);
    for (const service of [after.extension, after.proxy]) {
      expect(service?.labels[LABELS.extension]).toBe('main');
      expect(containerOf(service)['Env']).toContain('INTERLOCK_EXTENSION=main');
      expect(containerOf(service)['Secrets']).toMatchObject([{ SecretName: expect.stringMatching(/^main/) as string }]);
    }
  });

  it('removes superseded configs beyond the newest ten, but none that is referred to', () => {
    const { state } = converge(desired());
    const configs = Array.from({ length: 15 }, (_, n) => superseded(n + 1));
    const many = { ...state, configs: [...state.configs, ...configs], referredConfigIds: new Set(['old2']) };
    const [removed] = converge(desired(), many).passes;
    expect((removed ?? []).every(({ kind }) => kind === 'remove-config')).toBe(true);
    const left = converge(desired(), many).state.configs;
    expect(left.map(({ id }) => id)).toContain('old2');
    expect(left.filter(({ id }) => id !== 'old2').length).toBeLessThanOrEqual(KEPT_CONFIGS + 1);
  });

  it('cleans up also while something else cannot be done, but never the config that is about to be used', () => {
    const { state } = converge(desired());
    const configs = Array.from({ length: 15 }, (_, n) => superseded(n + 2));
    const stuck = { ...state, configs: [...state.configs, ...configs], referredConfigIds: new Set<string>() };
    const steps = planExtension(desired({ settings: extensionSettings('Args = ["-D"]\n') }), stuck);
    expect(steps.map(({ kind }) => kind)).toEqual([
      'update-service',
      ...Array.from({ length: 5 }, () => 'remove-config'),
    ]);
    const removed = steps.flatMap((step) => (step.kind === 'remove-config' ? [step.config.id] : []));
    expect(removed).not.toContain(state.configs[0]?.id);
  });

  it.each(['9007199254740991', '-1', 'x', ''])('never counts on from the edited sequence label %j', (label) => {
    const edited = { ...superseded(1), labels: { ...superseded(1).labels, [LABELS.sequence]: label } };
    const [config] = converge(desired(), { ...NOTHING, configs: [edited] }).state.configs.slice(-1);
    expect(config?.labels[LABELS.sequence]).toBe('1');
  });

  it('goes on above a number that a config of somebody else has in its name', () => {
    const [config] = converge(desired({ takenSequence: 4 })).state.configs;
    expect(config?.name).toContain('.5-');
  });

  it('gives a secret that exists to the proxy and does without one that is missing', () => {
    const names = ['cert', 'gone'].flatMap((name) => parseSecretName(name) ?? []);
    const want = desired({ delivery: delivery('tls', { secrets: names }), secrets: new Map([['cert', 's1']]) });
    expect(converge(want).state.proxy?.spec).toMatchObject({
      TaskTemplate: { ContainerSpec: { Secrets: [{ SecretID: 's1', SecretName: 'cert', File: { Name: 'cert' } }] } },
    });
  });

  it('publishes start-first in ingress mode and stop-first in host mode, always with rollback', () => {
    const ingress = converge(desired()).state.proxy?.spec;
    const host = converge(desired({ settings: extensionSettings('PublishMode = "host"\nPublishedPort = 8080\n') }))
      .state.proxy?.spec;
    expect(ingress).toMatchObject({
      UpdateConfig: { Order: 'start-first', FailureAction: 'rollback', Parallelism: 1 },
    });
    expect(host).toMatchObject({
      UpdateConfig: { Order: 'stop-first', FailureAction: 'rollback' },
      EndpointSpec: { Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'host' }] },
    });
  });

  it('in hitless mode only stores a new artifact, and takes it along when the rest of the spec changes', () => {
    const { state } = converge(desired({ mode: 'hitless' }));
    const two = desired({ mode: 'hitless', delivery: delivery('two') });
    const { passes, state: stored } = converge(two, state);
    expect(passes).toMatchObject([[{ kind: 'create-config', purpose: 'store' }]]);
    const settings = extensionSettings('ProxyArgs = ["-q"]\n');
    const { passes: rolls, state: after } = converge({ ...two, settings }, stored);
    expect(kinds(rolls)).toEqual([['update-service']]);
    expect(after.proxy?.labels[LABELS.digest]).toBe(two.delivery?.artifact.digest);
  });

  it.each([
    ['never', undefined, 10 ** 12, []],
    ['not yet', 5_000, 5_999, []],
    ['now', 5_000, 6_000, [['update-service']]],
  ])('exchanges a mounted config that is no longer the newest: %s', (_, refreshAfterMs, nowMs, expected) => {
    const want = desired({ mode: 'hitless' });
    const { state } = converge({ ...want, delivery: delivery('two') }, converge(want).state);
    expect(kinds(converge({ ...want, delivery: delivery('two'), refreshAfterMs, nowMs }, state).passes)).toEqual(
      expected,
    );
    expect(planExtension({ ...want, refreshAfterMs, nowMs }, state)).toEqual([]);
  });

  it('keeps the time of a config that stays mounted', () => {
    const want = desired({ mode: 'hitless' });
    const settings = extensionSettings('ProxyArgs = ["-q"]\n');
    const { state } = converge({ ...want, settings, nowMs: 9_000 }, converge(want).state);
    expect(state.proxy?.labels[LABELS.configSince]).toBe('1000');
  });

  it('an artifact that does not fit is packed, or refused where nobody unpacks it', () => {
    const small = { plainLimitBytes: 3 };
    expect(converge(desired(small)).passes[0]).toMatchObject([{ kind: 'create-service' }, { encoding: 'gzip' }]);
    expect(planExtension(desired({ ...small, mayPack: false }), NOTHING)).toMatchObject([
      { kind: 'create-service' },
      { kind: 'refuse-config', bytes: 3 },
    ]);
  });

  it('locks the containers down', () => {
    const { extension, proxy } = converge(desired()).state;
    for (const service of [extension, proxy]) {
      expect(service?.spec).toMatchObject({
        Labels: { 'com.docker.stack.namespace': 'interlock' },
        TaskTemplate: { ContainerSpec: { Init: true, ReadOnly: true, CapabilityDrop: ['ALL'] } },
      });
      expect(JSON.stringify(service?.spec)).not.toContain('docker.sock');
    }
    expect(proxy?.labels[LABELS.type]).toBe(TYPES.proxy);
  });
});

function networks({ proxy }: Observed): readonly string[] {
  const template = proxy?.spec['TaskTemplate'] as { readonly Networks: readonly { readonly Target: string }[] };
  return template.Networks.map(({ Target }) => Target);
}

function withReplicas(service: ServiceObject, replicas: number): ServiceObject {
  return {
    ...service,
    version: service.version + 1,
    spec: { ...service.spec, Mode: { Replicated: { Replicas: replicas } } },
  };
}

function superseded(n: number): KnownConfig {
  return {
    id: `old${n}`,
    name: `old${n}`,
    labels: {
      [LABELS.type]: TYPES.proxyConfig,
      [LABELS.extension]: 'default',
      [LABELS.digest]: `d${n}`,
      [LABELS.sequence]: String(n),
    },
  };
}
