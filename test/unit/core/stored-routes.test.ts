/** Route sets as Docker Configs: whatever somebody else wrote there harms nothing. */
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConfigObject, NewConfig } from '../../../src/core/engine/engine-api.ts';
import {
  type ConfigEngine,
  listStored,
  packRoutes,
  store,
  storeOrJoin,
  summaryOf,
  unpackRoutes,
} from '../../../src/core/routes/stored.ts';
import { OperationalError } from '../../../src/runtime/errors.ts';

const signal = new AbortController().signal;
const ROUTES = { services: [{ name: 'shop', id: 's', createdAt: 't', stack: undefined, labels: { a: 'b' } }] };
const DIGEST = 'a'.repeat(64);

/** Lists what was created, as the Engine would. */
function memoryEngine(objects: ConfigObject[] = []): ConfigEngine & { readonly created: NewConfig[] } {
  const created: NewConfig[] = [];
  return {
    created,
    listConfigs: () => Promise.resolve(objects),
    readConfig: () => Promise.resolve(undefined),
    removeConfig: () => Promise.resolve(),
    createConfig(config) {
      created.push(config);
      objects.push({ id: `id${objects.length}`, name: config.name, labels: config.labels, version: 1, createdAt: '' });
      return Promise.resolve(`id${objects.length - 1}`);
    },
  };
}

const wanted = (sequence: number) => ({
  sequence,
  revision: 3,
  digest: DIGEST,
  atMs: 1_700_000_000_000,
  changes: summaryOf({ added: ['a', 'b', 'c', 'd', 'e', 'f'], changed: [], removed: ['x'] }),
  packed: packRoutes(ROUTES),
});

describe('a stored route set', () => {
  it('is listed as it was stored, oldest first, with a name within the limits of Swarm', async () => {
    const engine = memoryEngine();
    const owner = { extension: 'an extension with a name that is far too long', stack: 'interlock' };
    for (const sequence of [12, 999_999_999, 2]) {
      await store(engine, 'routes', owner, wanted(sequence), signal);
    }
    const listed = await listStored(engine, 'routes', owner, signal);
    expect(listed.map(({ sequence }) => sequence)).toEqual([2, 12, 999_999_999]);
    expect(listed[0]).toMatchObject({
      digest: DIGEST,
      revision: 3,
      atMs: 1_700_000_000_000,
      changes: { added: { count: 6, names: ['a', 'b', 'c', 'd', 'e'] }, removed: { count: 1, names: ['x'] } },
    });
    for (const { name } of engine.created) {
      expect(name).toMatch(/^[a-zA-Z0-9][a-zA-Z0-9-_.]{0,62}[a-zA-Z0-9]$/);
    }
  });

  it('belongs to one stack, or to none', async () => {
    const engine = memoryEngine();
    await store(engine, 'pin', { extension: 'default', stack: 'one' }, wanted(1), signal);
    await store(engine, 'pin', { extension: 'default', stack: undefined }, wanted(2), signal);
    const sequences = async (stack: string | undefined) =>
      (await listStored(engine, 'pin', { extension: 'default', stack }, signal)).map(({ sequence }) => sequence);
    expect(await sequences('one')).toEqual([1]);
    expect(await sequences(undefined)).toEqual([2]);
    expect(await sequences('two')).toEqual([]);
  });

  it('takes the next number when its name is held by what is not ours, and says so when ten are', async () => {
    const engine = memoryEngine();
    const taken = new Set([1, 2].map((sequence) => `com.docker.interlock.routes.default.${sequence}-aaaaaaaa`));
    const beside = (isTaken: (name: string) => boolean): ConfigEngine => ({
      ...engine,
      createConfig: (config, scope) =>
        isTaken(config.name)
          ? Promise.reject(new OperationalError('ENGINE.NAME_TAKEN', config.name))
          : engine.createConfig(config, scope),
    });
    const owner = { extension: 'default', stack: 'one' };
    const stored = await storeOrJoin(
      beside((name) => taken.has(name)),
      'routes',
      owner,
      wanted(1),
      signal,
    );
    expect(stored).toMatchObject({ sequence: 3, revision: 3 });
    await expect(
      storeOrJoin(
        beside(() => true),
        'routes',
        { ...owner, stack: 'two' },
        wanted(1),
        signal,
      ),
    ).rejects.toMatchObject({
      code: 'WIRE.REFUSED',
      message: expect.stringContaining('routes.default.1-aaaaaaaa') as unknown,
    });
  });

  it('comes out of its bytes as it went in', () => {
    expect(unpackRoutes(packRoutes(ROUTES))).toEqual(ROUTES);
  });

  it.each([
    ['no gzip', Buffer.from('x')],
    ['nothing', Buffer.alloc(0)],
    ['no JSON', gzipSync('x')],
    ['no route set', gzipSync('{"services":[{}]}')],
    ['more than anybody has', gzipSync(Buffer.alloc(80 * 1024 * 1024))],
  ])('is not made of bytes that are %s', (_what, bytes) => {
    expect(unpackRoutes(bytes)).toBeUndefined();
  });

  it('is left out, or read as far as it goes, when its labels were damaged', async () => {
    const names = [
      'com.docker.interlock.sequence',
      'com.docker.interlock.routes-digest',
      'com.docker.interlock.at',
      'com.docker.interlock.changes',
      'com.docker.interlock.revision',
    ];
    const damaged = fc.record(
      Object.fromEntries(
        names.map((name) => [name, fc.oneof(fc.string(), fc.json(), fc.constant('7'), fc.constant(DIGEST))]),
      ),
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(damaged, async (chosen) => {
        // Those that were left out are missing, not undefined.
        const labels = chosen as Readonly<Record<string, string>>;
        const engine = memoryEngine([{ id: 'x', name: 'x', labels, version: 1, createdAt: '' }]);
        for (const one of await listStored(engine, 'routes', { extension: 'default', stack: undefined }, signal)) {
          expect(one.digest).toBe(DIGEST);
          expect([one.sequence, one.atMs, one.revision, one.changes.added.count].every(Number.isSafeInteger)).toBe(
            true,
          );
          expect(one.changes.added.names.every((name) => typeof name === 'string')).toBe(true);
        }
      }),
    );
  });
});
