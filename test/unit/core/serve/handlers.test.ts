import { describe, expect, it } from 'vitest';
import { createBoard, type DeliveryState } from '../../../../src/core/board.ts';
import { createHandlers } from '../../../../src/core/serve/handlers.ts';
import { type ConfigArtifact, createArtifact, manifestOf, pieceOf } from '../../../../src/model/artifact.ts';
import { buildModels } from '../../../../src/model/build.ts';
import type { ClusterModel } from '../../../../src/model/cluster.ts';
import { createFinding, findingKey } from '../../../../src/model/finding.ts';
import { applyPatch } from '../../../../src/model/patch.ts';
import { digestModel, sha256Hex } from '../../../../src/model/revision.ts';
import { createLogger } from '../../../../src/runtime/logging.ts';
import { definitionOf } from '../../../../src/settings/cluster-definition.ts';
import type { Caller, ModelMessage, RevisionRef, Submission } from '../../../../src/wire/contract.ts';
import { refusalReason } from '../../../../src/wire/errors.ts';
import { extensionSettings } from '../../../support/settings.ts';
import { host, intent, service, snapshot, task } from '../../../support/snapshots.ts';

const EXTENSION: Caller = { role: 'extension', extension: 'default', token: undefined, version: '1' };
const PATH = '/etc/nginx/nginx.conf';

function modelFor(name: string): ClusterModel {
  const { models } = buildModels(
    snapshot({ services: [service()], tasks: [task()] }),
    [intent({ hosts: [host(name)] })],
    [definitionOf(extensionSettings())],
  );
  const [model] = models;
  if (!model) {
    throw new Error('no model');
  }
  return model;
}

function setUp() {
  const board = createBoard([extensionSettings()], findingKey, { onNew: () => undefined, onGone: () => undefined });
  const logger = createLogger({ level: 'silent', component: 'test' });
  const facts = { version: '1', epoch: 'e1', taskFeed: () => ({ kind: 'poll', reason: '' }) as const };
  const handlers = createHandlers(board, facts, logger);
  const extension = board.extensions.get('default');
  if (!extension) {
    throw new Error('no extension');
  }
  const stop = new AbortController();
  const watch = (have?: RevisionRef) => handlers.watchModel(EXTENSION, have, stop.signal)[Symbol.asyncIterator]();
  let sequence = 0;
  return {
    board,
    handlers,
    extension,
    watch,
    publish(model: ClusterModel) {
      sequence += 1;
      extension.model.set({ revision: { digest: digestModel(model), sequence, versionIndex: sequence }, model });
    },
    submit: (submission: Submission) => handlers.submitArtifact(EXTENSION, submission, stop.signal),
  };
}

async function next(stream: AsyncIterator<ModelMessage>): Promise<ModelMessage> {
  const { value } = (await stream.next()) as { value: ModelMessage };
  return value;
}

function artifact(text: string, path = PATH): ConfigArtifact {
  return createArtifact([{ path, mode: 0o444, bytes: Buffer.from(text) }]);
}

function cut(...texts: readonly string[]): ConfigArtifact {
  return createArtifact([{ path: PATH, mode: 0o444, pieces: texts.map((text) => pieceOf(Buffer.from(text))) }]);
}

function submission(revision: RevisionRef, of: ConfigArtifact, withBlobs = true): Submission {
  const blobs = of.files.map(({ bytes }) => ({ digest: sha256Hex(bytes), bytes }));
  return { revision, manifest: manifestOf(of), blobs: withBlobs ? blobs : [], findings: [] };
}

const HITLESS: DeliveryState = {
  mode: 'hitless',
  fallback: undefined,
  pending: { networks: [], secrets: [] },
  rolling: false,
  storedConfigName: undefined,
};

function must<Value>(value: Value | undefined): Value {
  if (value === undefined) {
    throw new Error('not there');
  }
  return value;
}

describe('an artifact whose whole is still to be checked', () => {
  async function submitted(mode: 'classic' | 'hitless') {
    const { watch, publish, submit, extension } = setUp();
    extension.delivery.set({ ...HITLESS, mode });
    publish(modelFor('a.local'));
    const { revision } = await next(watch());
    const pending = await submit({ ...submission(revision, artifact('a')), checkPending: true });
    return { pending, extension, submit, again: submission(revision, artifact('a')) };
  }

  it('goes to agents, marked as such until it comes again', async () => {
    const { pending, extension, submit, again } = await submitted('hitless');
    expect(pending).toEqual({ kind: 'accepted' });
    expect(extension.rendered.get()?.checkPending).toBe(true);
    await submit(again);
    expect(extension.rendered.get()?.checkPending).toBeUndefined();
  });

  it('is confirmed although newer ones came meanwhile, and what is confirmed never goes back', async () => {
    const { watch, publish, submit, extension } = setUp();
    extension.delivery.set(HITLESS);
    const models = watch();
    const revisions: RevisionRef[] = [];
    for (const name of ['one', 'two', 'three']) {
      publish(modelFor(`${name}.local`));
      const { revision } = await next(models);
      revisions.push(revision);
      await submit({ ...submission(revision, artifact(name)), checkPending: true });
    }
    const [one, two, three] = revisions.map((revision, at) =>
      submission(revision, artifact(['one', 'two', 'three'][at] ?? '')),
    );
    const confirmed = () => extension.confirmed.get()?.artifact.digest;
    expect(confirmed()).toBeUndefined();
    expect(await submit(must(two))).toEqual({ kind: 'accepted' });
    expect(confirmed()).toBe(artifact('two').digest);
    expect(await submit(must(one))).toEqual({ kind: 'superseded' });
    expect(confirmed()).toBe(artifact('two').digest);
    expect(extension.rendered.get()).toMatchObject({ artifact: artifact('three'), checkPending: true });
    expect(await submit({ ...must(three), blobs: [] })).toEqual({ kind: 'accepted' });
    expect(confirmed()).toBe(artifact('three').digest);
    expect(extension.rendered.get()?.checkPending).toBeUndefined();
  });

  it('waits where a roll would bring it to proxies that start with it', async () => {
    const { pending, extension, submit, again } = await submitted('classic');
    expect(pending).toEqual({ kind: 'accepted', awaitsCheck: true });
    expect(extension.rendered.get()).toBeUndefined();
    expect(await submit({ ...again, blobs: [] })).toMatchObject({ kind: 'missing' });
    await submit(again);
    expect(extension.rendered.get()?.artifact.digest).toBe(artifact('a').digest);
  });
});

describe('handing out models', () => {
  it('begins with the full state and goes on with patches that name their base', async () => {
    const { watch, publish } = setUp();
    publish(modelFor('a.local'));
    const stream = watch();
    const first = await next(stream);
    publish(modelFor('b.local'));
    const second = await next(stream);
    if (first.content.kind !== 'full' || second.content.kind !== 'patch') {
      throw new Error(`${first.content.kind}, ${second.content.kind}`);
    }
    expect(second.content.baseDigest).toBe(first.revision.digest);
    expect(digestModel(applyPatch(first.content.model, second.content.patch))).toBe(second.revision.digest);
  });

  it('gives a reader that was slow the newest state in one patch', async () => {
    const { watch, publish } = setUp();
    publish(modelFor('a.local'));
    const stream = watch();
    await next(stream);
    for (const name of ['b.local', 'c.local', 'd.local']) {
      publish(modelFor(name));
    }
    expect((await next(stream)).revision.digest).toBe(digestModel(modelFor('d.local')));
  });

  it('gives the full state to a caller that comes from another life of core', async () => {
    const { watch, publish } = setUp();
    publish(modelFor('a.local'));
    const have = { digest: digestModel(modelFor('a.local')), sequence: 1, versionIndex: 1, epoch: 'e0' };
    expect((await next(watch(have))).content.kind).toBe('full');
  });

  it.each([
    [{ ...EXTENSION, extension: 'other' }, 'not-found'],
    [{ ...EXTENSION, role: 'proxy' }, 'permission-denied'],
  ] as const)('refuses %j', (caller, reason) => {
    const { handlers } = setUp();
    expect(() => handlers.watchModel(caller, undefined, new AbortController().signal)).toThrow(
      expect.toSatisfy((error: unknown) => refusalReason(error) === reason),
    );
  });
});

describe('taking artifacts', () => {
  async function connected() {
    const desk = setUp();
    desk.publish(modelFor('a.local'));
    const stream = desk.watch();
    const { revision } = await next(stream);
    return { ...desk, stream, revision };
  }

  it('takes a whole artifact, with the networks its revision needs', async () => {
    const { submit, extension, revision } = await connected();
    expect(await submit(submission(revision, artifact('one')))).toEqual({ kind: 'accepted' });
    expect(extension.rendered.get()).toMatchObject({ requirements: { networks: [{ id: 'net1' }] } });
  });

  it('asks for bytes it lacks, and for none that it holds', async () => {
    const { submit, revision } = await connected();
    const of = artifact('one');
    expect(await submit(submission(revision, of, false))).toMatchObject({ kind: 'missing', blobs: [sha256Hex('one')] });
    await submit(submission(revision, of));
    expect(await submit(submission(revision, of, false))).toEqual({ kind: 'accepted' });
  });

  it('asks for the pieces it lacks, and keeps those it holds', async () => {
    const { submit, extension, revision } = await connected();
    const [one, two] = [cut('head', 'a', 'b'), cut('head', 'A', 'b')];
    const sent = (of: ConfigArtifact, ...at: readonly number[]) => ({
      ...submission(revision, of, false),
      blobs: at.flatMap((index) => of.files[0]?.pieces[index] ?? []),
    });
    await submit(sent(one, 0, 1, 2));
    const before = extension.rendered.get()?.artifact.files[0]?.pieces;
    const missing = two.files[0]?.pieces[1]?.digest;
    expect(await submit(sent(two))).toEqual({ kind: 'missing', blobs: [missing] });
    expect(extension.rendered.get()?.artifact.digest).toBe(one.digest);
    expect(await submit(sent(two, 1))).toEqual({ kind: 'accepted' });
    const [file] = extension.rendered.get()?.artifact.files ?? [];
    expect(String(file?.bytes)).toBe('headAb');
    expect(file?.pieces.map((piece) => before?.includes(piece))).toEqual([true, false, true]);
  });

  it('takes the artifact of a revision that was overtaken meanwhile, but not one older than what it has', async () => {
    const { submit, publish, stream, revision } = await connected();
    publish(modelFor('b.local'));
    const second = await next(stream);
    publish(modelFor('c.local'));
    expect(await submit(submission(second.revision, artifact('two')))).toEqual({ kind: 'accepted' });
    expect(await submit(submission(revision, artifact('one')))).toEqual({ kind: 'superseded' });
  });

  it('takes nothing for a revision it never handed out', async () => {
    const { submit, revision } = await connected();
    const foreign = { ...revision, digest: 'f'.repeat(64) };
    expect(await submit(submission(foreign, artifact('one')))).toEqual({ kind: 'superseded' });
    expect(await submit(submission({ ...revision, epoch: 'e0' }, artifact('one')))).toEqual({ kind: 'superseded' });
  });

  it.each([
    ['another path', (revision: RevisionRef) => submission(revision, artifact('x', '/etc/passwd'))],
    [
      'bytes that are not what their digest says',
      (revision: RevisionRef) => {
        const good = submission(revision, artifact('x'));
        return { ...good, blobs: good.blobs.map((blob) => ({ ...blob, bytes: Buffer.from('y') })) };
      },
    ],
    [
      'pieces that are not those of the file',
      (revision: RevisionRef) => {
        const [good, other] = [cut('head', 'a'), cut('head', 'b')];
        const entries = manifestOf(good).entries.map((entry, at) => ({
          ...entry,
          pieces: manifestOf(other).entries[at]?.pieces,
        }));
        return {
          ...submission(revision, good, false),
          manifest: { digest: good.digest, entries },
          blobs: other.files[0]?.pieces ?? [],
        };
      },
    ],
    [
      "a manifest digest that is not its entries'",
      (revision: RevisionRef) => {
        const good = submission(revision, artifact('x'));
        return { ...good, manifest: { ...good.manifest, digest: '0'.repeat(64) } };
      },
    ],
    [
      'no file',
      (revision: RevisionRef) => ({ ...submission(revision, artifact('x')), manifest: { digest: '', entries: [] } }),
    ],
  ])('refuses %s and keeps what it has', async (_what, make) => {
    const { submit, extension, revision } = await connected();
    await submit(submission(revision, artifact('good')));
    await expect(submit(make(revision))).rejects.toSatisfy((error: unknown) => refusalReason(error) === 'malformed');
    expect(extension.rendered.get()?.artifact.digest).toBe(artifact('good').digest);
  });

  it('keeps the last good artifact when a revision is refused, says why, and forgets it with the next good one', async () => {
    const { submit, handlers, board, extension, publish, stream, revision } = await connected();
    await submit(submission(revision, artifact('good')));
    publish(modelFor('b.local'));
    const second = await next(stream);
    await handlers.refuseRevision(
      EXTENSION,
      { revision: second.revision, reason: 'emerg', findings: [] },
      new AbortController().signal,
    );
    expect(extension.rendered.get()?.artifact.digest).toBe(artifact('good').digest);
    expect(handlers.clusters()).toMatchObject([{ refusedReason: 'emerg', extensionConnected: true }]);
    await submit(submission(second.revision, artifact('better')));
    expect(extension.refused.get()).toBeNull();
    expect(board.findings()).toEqual([]);
  });

  it('goes by its own numbers, whatever sequence a caller writes', async () => {
    const { submit, publish, extension, stream, first } = await connectedTo('a.local');
    await submit(submission({ ...first.revision, sequence: 1_000_000 }, artifact('one')));
    publish(modelFor('b.local'));
    const second = await next(stream);
    expect(await submit(submission(second.revision, artifact('two')))).toEqual({ kind: 'accepted' });
    expect(extension.rendered.get()?.artifact.digest).toBe(artifact('two').digest);
  });

  it('does not let a late word about an older revision hide the newest', async () => {
    const { handlers, submit, publish, extension, stream, first } = await connectedTo('a.local');
    publish(modelFor('b.local'));
    const second = await next(stream);
    const refuse = (revision: RevisionRef, reason: string) =>
      handlers.refuseRevision(EXTENSION, { revision, reason, findings: [] }, new AbortController().signal);
    await refuse(second.revision, 'newest');
    await submit(submission(first.revision, artifact('late')));
    expect(extension.refused.get()?.reason).toBe('newest');
    await submit(submission(second.revision, artifact('better')));
    await refuse(first.revision, 'late');
    expect(extension.refused.get()).toBeNull();
  });

  it('says of a refusal only while it is about the newest revision', async () => {
    const { handlers, publish, stream, first } = await connectedTo('a.local');
    const signal = new AbortController().signal;
    await handlers.refuseRevision(EXTENSION, { revision: first.revision, reason: 'bad', findings: [] }, signal);
    expect(handlers.clusters()).toMatchObject([{ refusedReason: 'bad' }]);
    publish(modelFor('b.local'));
    await next(stream);
    expect(handlers.clusters()).toMatchObject([{ refusedReason: undefined }]);
  });

  it('keeps a bounded number of findings', async () => {
    const { submit, board, first } = await connectedTo('a.local');
    const findings = Array.from({ length: 5_000 }, (_, n) => createFinding('RENDER.OTHER', 'x', { value: String(n) }));
    await submit({ ...submission(first.revision, artifact('one')), findings });
    expect(board.findings()).toHaveLength(1_000);
  });

  it('has a status before the first Snapshot', () => {
    expect(setUp().handlers.clusters()).toMatchObject([
      { published: undefined, rendered: undefined, extensionConnected: false },
    ]);
  });
});

async function connectedTo(name: string) {
  const desk = setUp();
  desk.publish(modelFor(name));
  const stream = desk.watch();
  return { ...desk, stream, first: await next(stream) };
}
