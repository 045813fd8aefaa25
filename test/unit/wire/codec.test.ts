import { describe, expect, it } from 'vitest';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { digestModel } from '../../../src/model/revision.ts';
import { decodeAgentMessage, decodeDirective } from '../../../src/wire/agent-codec.ts';
import { decodeRefusal, decodeSubmission, encodeRefusal, encodeSubmission } from '../../../src/wire/artifact-codec.ts';
import type { RevisionRef } from '../../../src/wire/contract.ts';
import { decodeModelMessage, encodeModelMessage } from '../../../src/wire/model-codec.ts';
import { full, patch, revisionOf, sampleModel, submissionOf } from '../../support/wire.ts';

const model = sampleModel('a');
const revision = revisionOf(model, 7);

/** The model with one value that cannot be, past the types. */
function withPool(broken: Record<string, unknown>): ClusterModel {
  return { ...model, pools: model.pools.map((pool) => ({ ...pool, ...broken })) };
}
function withHost(broken: Record<string, unknown>): ClusterModel {
  return { ...model, hosts: model.hosts.map((entry) => ({ ...entry, ...broken })) };
}
function endpoint(broken: Record<string, unknown>): Record<string, unknown> {
  const source = { kind: 'task', taskId: 't', nodeId: 'n' };
  return { endpoints: [{ address: '10.0.0.1', port: 80, weight: 1, source, ...broken }] };
}

describe('the door names the first value that cannot be', () => {
  it.each<[string, ClusterModel]>([
    ['ModelUpdate.full.hosts[0].host', withHost({ host: 'Upper.local' })],
    ['ModelUpdate.full.hosts[0].host', withHost({ host: 'a.local; return 200' })],
    ['ModelUpdate.full.hosts[0].routes[0].prefix', withHost({ routes: [{ prefix: '/a b', pool: 'p' }] })],
    ['ModelUpdate.full.hosts[0].routes[0].pool', withHost({ routes: [{ prefix: '/', pool: '' }] })],
    ['ModelUpdate.full.hosts[0].terminate.certificate', withHost({ tls: { kind: 'terminate', only: true } })],
    [
      'ModelUpdate.full.hosts[0].terminate.certificate.path',
      withHost({ tls: { kind: 'terminate', certificate: { secret: 's', path: '/run/../etc/passwd' } } }),
    ],
    [
      'ModelUpdate.full.hosts[0].redirects[0].source.scheme',
      withHost({ redirects: [{ source: { scheme: 'ftp', host: 'a' }, target: { scheme: 'http', host: 'a' } }] }),
    ],
    ['ModelUpdate.full.pools[0].endpoints[0].address', withPool(endpoint({ address: 'localhost' }))],
    ['ModelUpdate.full.pools[0].endpoints[0].port', withPool(endpoint({ port: 70_000 }))],
    ['ModelUpdate.full.pools[0].endpoints[0].weight', withPool(endpoint({ weight: 0 }))],
    ['ModelUpdate.full.pools[0].overlay.id', withPool({ network: { kind: 'overlay', id: '', name: 'apps' } })],
    ['ModelUpdate.full.pools[0].cookie.cookie', withPool({ balance: { kind: 'cookie', cookie: 'a;b' } })],
    ['ModelUpdate.full.pools[1]', { ...model, pools: [...model.pools, ...model.pools] }],
    ['ModelUpdate.full.header.configPath', { ...model, header: { ...model.header, configPath: 'nginx.conf' } }],
    [
      'ModelUpdate.full.header.listenHttpPort',
      { ...model, header: { ...model.header, listen: { http: 0 as never, tls: 443 as never } } },
    ],
  ])('%s', (path, broken) => {
    const bytes = encodeModelMessage({ revision, content: { kind: 'full', model: broken } });
    expect(thrownBy(() => decodeModelMessage(bytes))).toMatchObject({ code: 'WIRE.MALFORMED', facts: { path } });
  });

  it.each<[string, RevisionRef]>([
    ['ModelUpdate.revision.digest', { ...revision, digest: 'ABC' }],
    ['ModelUpdate.revision.sequence', { ...revision, sequence: 2 ** 60 }],
    ['ModelUpdate.revision.epoch', { ...revision, epoch: '' }],
  ])('%s', (path, broken) => {
    const bytes = encodeModelMessage({ ...full(model, 1), revision: broken });
    expect(thrownBy(() => decodeModelMessage(bytes))).toMatchObject({ code: 'WIRE.MALFORMED', facts: { path } });
  });

  it('SubmitArtifactRequest.blobs[0].digest', () => {
    const good = submissionOf(revision, 'events {}', true);
    const bytes = encodeSubmission({
      ...good,
      blobs: good.blobs.map((blob) => ({ ...blob, bytes: Buffer.from('other') })),
    });
    expect(thrownBy(() => decodeSubmission(bytes))).toMatchObject({
      facts: { path: 'SubmitArtifactRequest.blobs[0].digest' },
    });
  });

  it.each([
    ['SubmitArtifactRequest.manifest.entries[0].path', { path: 'relative' }],
    ['SubmitArtifactRequest.manifest.entries[0].path', { path: '/etc/../shadow' }],
    ['SubmitArtifactRequest.manifest.entries[0].mode', { mode: 0o4755 }],
    ['SubmitArtifactRequest.manifest.digest', { sizeBytes: 1 }],
  ])('%s', (path, broken) => {
    const good = submissionOf(revision, 'events {}', true);
    const entries = good.manifest.entries.map((entry) => ({ ...entry, ...broken }));
    const bytes = encodeSubmission({ ...good, manifest: { ...good.manifest, entries } });
    expect(thrownBy(() => decodeSubmission(bytes))).toMatchObject({ facts: { path } });
  });
});

describe('findings', () => {
  it('are cut where somebody sends more than people read', () => {
    const long = 'x'.repeat(1_000_000);
    const finding = {
      code: 'RENDER.OTHER',
      severity: 'warn',
      service: long,
      serviceCluster: long,
      subject: long,
      value: long,
    };
    const { findings } = decodeRefusal(
      encodeRefusal({ revision, reason: '', findings: [{ ...finding, advice: long } as never] }),
    );
    expect(JSON.stringify(findings).length).toBeLessThan(12_000);
  });

  it('with a code that only the sender knows stay readable', () => {
    const finding = {
      code: 'HAPROXY.TOO_OLD',
      severity: 'warn',
      service: 'web',
      serviceCluster: '',
      subject: undefined,
      value: undefined,
      advice: 'Update it.',
    };
    const { findings } = decodeRefusal(encodeRefusal({ revision, reason: '', findings: [finding as never] }));
    expect(findings).toEqual([{ ...finding, code: 'RENDER.OTHER', advice: 'HAPROXY.TOO_OLD: Update it.' }]);
  });
});

/** Bytes as version 0.1.0 wrote them: a peer of that age must be understood for as long as `interlock.v1` lives. */
describe('bytes of an older peer', () => {
  it('hold a full model', () => {
    const { content } = decodeModelMessage(Buffer.from(RECORDED.full, 'base64'));
    expect(content.kind === 'full' && digestModel(content.model)).toBe(digestModel(model));
  });

  it('hold a patch', () => {
    expect(decodeModelMessage(Buffer.from(RECORDED.patch, 'base64'))).toEqual(patch(model, sampleModel('b', 2), 8));
  });

  it('hold a submission', () => {
    const { blobs, ...rest } = decodeSubmission(Buffer.from(RECORDED.submission, 'base64'));
    const { blobs: expected, ...others } = submissionOf(revision, 'events {}', true);
    expect(rest).toEqual(others);
    expect(blobs[0]?.digest).toBe(expected[0]?.digest);
  });

  it('hold directives of a core that takes no word of endpoints that were not reached', () => {
    expect(decodeDirective(Buffer.from(RECORDED.noDirective, 'base64'))).toEqual({ kind: 'none' });
    const directive = decodeDirective(Buffer.from(RECORDED.directive, 'base64'));
    expect(directive).toMatchObject({ kind: 'serve', revision: { sequence: 3 }, along: [] });
    expect(directive).not.toHaveProperty('takesUnreached');
  });

  it("hold an agent's report", () => {
    expect(decodeAgentMessage(Buffer.from(RECORDED.report, 'base64'))).toEqual({
      kind: 'report',
      report: { artifactDigest: 'a'.repeat(64), outcome: { kind: 'applied' }, durationMs: 5, findings: [] },
    });
  });
});

const RECORDED = {
  noDirective: '',
  directive:
    'CkkKQGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWEQAxgHIgFlEqIBCkA3MzI5OTBkMDUwYTlmYmViOGVlZDUzNWJkNGQ0MWQ4NzQ1ZmQyNWVlMTgwNzY2OTQwYTJjNGQxMWZkYmU5YTg4El4KFS9ldGMvbmdpbngvbmdpbnguY29uZhCkAhgBIkAyZDcxMTY0MmI3MjZiMDQ0MDE2MjdjYTlmYmFjMzJmNWM4NTMwZmIxOTAzY2M0ZGIwMjI1ODcxNzkyMWE0ODgx',
  report: 'EkYKQGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWESACgF',
  full: 'Ck0KQGEzZDJkNjc1NWI3ZDIzYzczMzM1MzUwYjdiMDdiNzc2MjAxM2U4NjIwNGQyMjI5ZjYwYmI3YWJhZGU5YzdmYTcQBxgHIgVsaWZlMRKmAQo8CgASB2RlZmF1bHQYUCC7AyiQPzAAOgx7Im1hcmsiOiJhIn1CAEoVL2V0Yy9uZ2lueC9uZ2lueC5jb25mEiYKDWgwMDAwMDAubG9jYWwqFQoBLxAAGg5oMDAwMDAwLmxvY2FsLxo+Cg5oMDAwMDAwLmxvY2FsLxIYc2VydmljZS1vZi1oMDAwMDAwLmxvY2FsGgwKBG5ldDESBGFwcHMqAEgDUAo=',
  patch:
    'Ck0KQDAxNjAyYzdhZTI4ZTNhMTgwNzBjZjQwZjI2MDVmMDhiNTUyMmJhMjY4MGFkODA3MzI0YjQwNTU0N2JlMTg5MTgQCBgIIgVsaWZlMRroAQpAYTNkMmQ2NzU1YjdkMjNjNzMzMzUzNTBiN2IwN2I3NzYyMDEzZTg2MjA0ZDIyMjlmNjBiYjdhYmFkZTljN2ZhNxI8CgASB2RlZmF1bHQYUCC7AyiQPzAAOgx7Im1hcmsiOiJiIn1CAEoVL2V0Yy9uZ2lueC9uZ2lueC5jb25mGiYKDWgwMDAwMDEubG9jYWwqFQoBLxAAGg5oMDAwMDAxLmxvY2FsLyo+Cg5oMDAwMDAxLmxvY2FsLxIYc2VydmljZS1vZi1oMDAwMDAxLmxvY2FsGgwKBG5ldDESBGFwcHMqAEgDUAo=',
  submission:
    'Ck0KQGEzZDJkNjc1NWI3ZDIzYzczMzM1MzUwYjdiMDdiNzc2MjAxM2U4NjIwNGQyMjI5ZjYwYmI3YWJhZGU5YzdmYTcQBxgHIgVsaWZlMRKiAQpAMzBmNjJkN2NiNzZhOGY1MmM5N2M0M2E3N2M2YjA3NzJiYmIxYWZjM2I3YjRiMTEyZDE5NjJhNjJhMTU3ZjAxMRJeChUvZXRjL25naW54L25naW54LmNvbmYQpAIYCSJAOTg1MzE3MDI0NmZjODgyMjhkZmRiYTBmYjgwZTg1OGM3ZWFiMDcwNzBhOTE5ODIzZTBlMzRhNTgzNzk5MmRmYRpNCkA5ODUzMTcwMjQ2ZmM4ODIyOGRmZGJhMGZiODBlODU4YzdlYWIwNzA3MGE5MTk4MjNlMGUzNGE1ODM3OTkyZGZhEglldmVudHMge30=',
};

function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}
