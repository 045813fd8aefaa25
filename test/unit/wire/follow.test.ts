import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { digestModel } from '../../../src/model/revision.ts';
import type { BackoffOptions } from '../../../src/runtime/backoff.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import type { WireClient } from '../../../src/wire/client.ts';
import type { ModelMessage, RevisionRef } from '../../../src/wire/contract.ts';
import { type FollowedModel, followModel } from '../../../src/wire/follow.ts';
import {
  appears,
  createFakeCore,
  createWireBench,
  full,
  next,
  patch,
  revisionOf,
  sampleModel,
  silent,
  type WireBench,
} from '../../support/wire.ts';

const QUICK: BackoffOptions = { firstMs: 2, maxMs: 20, healthyAfterMs: 10_000, random: () => 0.5 };

const a = sampleModel('a', 3);
const b = sampleModel('b', 4);
const c = sampleModel('c', 2);

let bench: WireBench;
let abort: AbortController;
beforeEach(() => {
  bench = createWireBench();
  abort = new AbortController();
});
afterEach(async () => {
  abort.abort();
  await bench.close();
});

function follow(client: Pick<WireClient, 'watchModel'>): AsyncIterator<FollowedModel> {
  const options = { signal: abort.signal, clock: systemClock, logger: silent, backoff: QUICK };
  return followModel(client, options)[Symbol.asyncIterator]();
}

/** A client whose streams are scripts: each call takes the next one, then holds. */
function scripted(...scripts: (readonly ModelMessage[])[]): {
  readonly client: Pick<WireClient, 'watchModel'>;
  readonly asked: (RevisionRef | undefined)[];
} {
  const asked: (RevisionRef | undefined)[] = [];
  const client: Pick<WireClient, 'watchModel'> = {
    async *watchModel(have, signal) {
      const script = scripts[asked.length];
      asked.push(have);
      yield* script ?? [];
      if (script === undefined) {
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
      }
    },
  };
  return { client, asked };
}

describe('following a model', () => {
  it('applies patches to the full state', async () => {
    const core = createFakeCore();
    core.messages.set(full(a, 1));
    const { port } = await bench.serve(core.handlers);
    const models = follow(bench.connect(port));
    expect(await next(models)).toEqual({ revision: revisionOf(a, 1), model: a, connection: 1 });
    core.messages.set(patch(a, b, 2));
    expect(await next(models)).toEqual({ revision: revisionOf(b, 2), model: b, connection: 1 });
  });

  it('asks for the full state when a patch builds on something it missed', async () => {
    const { client, asked } = scripted([full(a, 1), patch(b, c, 3)], [full(c, 3)]);
    const models = follow(client);
    await next(models);
    expect((await next(models)).model).toEqual(c);
    expect(asked).toEqual([undefined, undefined]);
  });

  it('asks for the full state when a patch does not lead where it says', async () => {
    const wrong = { ...patch(a, b, 2), revision: revisionOf(c, 2) };
    const { client, asked } = scripted([full(a, 1), wrong], [full(c, 3)]);
    const models = follow(client);
    await next(models);
    expect((await next(models)).model).toEqual(c);
    expect(asked).toEqual([undefined, undefined]);
  });

  it('asks for the full state when a model names a pool that is not there', async () => {
    const broken: ClusterModel = { ...a, pools: a.pools.slice(1) };
    const { client } = scripted([full(broken, 1)], [full(b, 2)]);
    expect((await next(follow(client))).model).toEqual(b);
  });

  it('follows a newer core whose models hold more than this version can digest', async () => {
    const foreign = 'f'.repeat(64);
    const first = { ...full(a, 1), revision: { ...revisionOf(a, 1), digest: foreign } };
    const second = { ...patch(a, b, 2), revision: { ...revisionOf(b, 2), digest: 'e'.repeat(64) } };
    const onForeign = { ...second, content: { ...second.content, baseDigest: foreign } } as ModelMessage;
    const { client, asked } = scripted([first, onForeign]);
    const models = follow(client);
    await next(models);
    expect((await next(models)).model).toEqual(b);
    expect(asked.length).toBe(1);
  });

  it('says what it holds after a lost stream, and takes a patch on it', async () => {
    const { client, asked } = scripted([full(a, 1)], [patch(a, b, 2)]);
    const models = follow(client);
    await next(models);
    expect(await next(models)).toEqual({ revision: revisionOf(b, 2), model: b, connection: 2 });
    expect(asked).toEqual([undefined, revisionOf(a, 1)]);
  });

  it('resumes when core restarts on the same port', async () => {
    const core = createFakeCore();
    core.messages.set(full(a, 1));
    const { port, server } = await bench.serve(core.handlers);
    const models = follow(bench.connect(port));
    await next(models);
    const pending = next(models);
    await server.stop(0);

    const again = createFakeCore();
    again.messages.set(full(b, 1, 'life2'));
    await bench.serve(again.handlers, port);
    const resumed = await pending;
    expect(resumed.revision).toEqual(revisionOf(b, 1, 'life2'));
    expect(resumed.connection).toBeGreaterThan(1);
    expect(again.watchers[0]?.have?.digest).toBe(digestModel(a));
  });

  it('ends with the reason of its signal, and core learns of it', async () => {
    const core = createFakeCore();
    core.messages.set(full(a, 1));
    const { port } = await bench.serve(core.handlers);
    const models = follow(bench.connect(port));
    await next(models);
    const pending = next(models);
    abort.abort(new Error('enough'));
    await expect(pending).rejects.toThrow('enough');
    await appears(() => core.watchers[0]?.signal.aborted);
  });

  it('ends with the reason of its signal while core is away', async () => {
    const { port, server } = await bench.serve(createFakeCore().handlers);
    await server.stop(0);
    const pending = next(follow(bench.connect(port)));
    setTimeout(() => abort.abort(new Error('enough')), 30);
    await expect(pending).rejects.toThrow('enough');
  });

  it('cancels the stream when its reader leaves', async () => {
    const core = createFakeCore();
    core.messages.set(full(a, 1));
    const { port } = await bench.serve(core.handlers);
    const models = follow(bench.connect(port));
    await next(models);
    await models.return?.();
    await appears(() => core.watchers[0]?.signal.aborted);
  });
});
