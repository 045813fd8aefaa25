/** Pins in Swarm onto the board, whatever other cores and people did to them. */
import { expect, it } from 'vitest';
import { createBoard } from '../../../src/core/board.ts';
import type { ConfigObject } from '../../../src/core/engine/engine-api.ts';
import type { HistoryEntry } from '../../../src/core/routes/history.ts';
import { createPins } from '../../../src/core/routes/pins.ts';
import { NO_CHANGES, packRoutes } from '../../../src/core/routes/stored.ts';
import { findingKey } from '../../../src/model/finding.ts';
import { digestRoutes } from '../../../src/model/routes.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { OperationalError } from '../../../src/runtime/errors.ts';
import { eventually } from '../../support/eventually.ts';
import { extensionSettings } from '../../support/settings.ts';
import { silent } from '../../support/wire.ts';

const signal = new AbortController().signal;

/** A Swarm's configs, for two cores to share. */
function createConfigs() {
  const objects: (ConfigObject & { readonly bytes: Uint8Array })[] = [];
  let made = 0;
  return {
    objects,
    inspectService: () => Promise.resolve(undefined),
    listConfigs: (labels: readonly string[]) =>
      Promise.resolve(
        objects.filter((one) =>
          labels.every((label) => {
            const [key = '', value] = label.split('=');
            return value === undefined ? key in one.labels : one.labels[key] === value;
          }),
        ),
      ),
    readConfig: (id: string) => Promise.resolve(objects.find((one) => one.id === id)?.bytes),
    createConfig({
      name,
      labels,
      bytes,
    }: {
      name: string;
      labels: Readonly<Record<string, string>>;
      bytes: Uint8Array;
    }) {
      if (objects.some((one) => one.name === name)) {
        return Promise.reject(new OperationalError('ENGINE.NAME_TAKEN', `name conflicts: ${name}`));
      }
      made += 1;
      objects.push({ id: `c${made}`, name, labels, bytes, version: 1, createdAt: '' });
      return Promise.resolve(`c${made}`);
    },
    removeConfig(id: string) {
      const at = objects.findIndex((one) => one.id === id);
      objects.splice(at, at === -1 ? 0 : 1);
      return at === -1 ? Promise.reject(new OperationalError('ENGINE.NOT_FOUND', id)) : Promise.resolve();
    },
  };
}

function createCore(engine: ReturnType<typeof createConfigs>, stack: string | undefined = 'interlock') {
  const board = createBoard([extensionSettings()], findingKey, { onNew: () => undefined, onGone: () => undefined });
  const pins = createPins({ engine, clock: systemClock, logger: silent }, { serviceId: undefined, stack }, board);
  const [extension] = [...board.extensions.values()];
  if (extension === undefined) {
    throw new Error('no extension');
  }
  return { board, pins, extension };
}

function entry(sequence: number, name: string): HistoryEntry {
  const routes = { services: [{ name, id: name, createdAt: 't', stack: undefined, labels: {} }] };
  const digest = digestRoutes(routes);
  const packed = packRoutes(routes);
  return {
    extension: 'default',
    configId: 'h',
    name: 'h',
    sequence,
    revision: sequence,
    digest,
    atMs: 1,
    changes: NO_CHANGES,
    packed,
  };
}

it('holds the newest, tells of it, and lets go of all', async () => {
  const engine = createConfigs();
  const { board, pins, extension } = createCore(engine);
  await pins.pin(extension, entry(3, 'shop'), signal);
  await pins.pin(extension, entry(2, 'other'), signal);
  expect(extension.pin.get()).toMatchObject({ revision: 2, routes: { services: [{ name: 'other' }] } });
  expect(engine.objects).toHaveLength(1);
  expect(board.findings()).toMatchObject([{ code: 'ROUTE.PINNED', severity: 'warn', serviceCluster: '' }]);
  await pins.unpin(extension, signal);
  expect(extension.pin.get()).toBeNull();
  expect(board.findings()).toEqual([]);
  expect(engine.objects).toEqual([]);
});

it('is joined by another core that is asked for the same at the same time', async () => {
  const engine = createConfigs();
  const [one, two] = [createCore(engine), createCore(engine)];
  await Promise.all([one, two].map(({ pins, extension }) => pins.pin(extension, entry(3, 'shop'), signal)));
  expect(engine.objects).toHaveLength(1);
  for (const { extension } of [one, two]) {
    expect(extension.pin.get()?.revision).toBe(3);
  }
});

it('of another stack holds nothing here', async () => {
  const engine = createConfigs();
  const [ours, theirs] = [createCore(engine), createCore(engine, 'another')];
  await theirs.pins.pin(theirs.extension, entry(3, 'shop'), signal);
  await ours.pins.unpin(ours.extension, signal);
  expect(ours.extension.pin.get()).toBeNull();
  expect(theirs.extension.pin.get()?.revision).toBe(3);
  expect(engine.objects).toHaveLength(1);
});

it('that cannot be read gives way at a start to the one before it, is told of, and takes nothing along', async () => {
  const engine = createConfigs();
  const one = createCore(engine);
  await one.pins.pin(one.extension, entry(3, 'shop'), signal);
  const [good] = engine.objects;
  const labels = { ...good?.labels, 'com.docker.interlock.sequence': '9' };
  engine.objects.push({ id: 'bad', name: 'bad', labels, bytes: Buffer.from('x'), version: 1, createdAt: '' });
  const stop = new AbortController();
  const two = createCore(engine);
  const running = two.pins.component.run(stop.signal);
  for await (const pin of two.extension.pin.watch(signal)) {
    expect(pin?.revision).toBe(3);
    break;
  }
  await eventually(() => two.board.findings().some(({ code }) => code === 'ROUTE.PIN_UNREADABLE'));
  expect(engine.objects.map(({ name }) => name)).toContain('bad');
  expect(engine.objects).toHaveLength(2);
  stop.abort();
  await expect(running).rejects.toThrow();
});

it('holds beside that of another stack, which may have its name', async () => {
  const engine = createConfigs();
  const [ours, theirs] = [createCore(engine), createCore(engine, 'another')];
  await theirs.pins.pin(theirs.extension, entry(3, 'shop'), signal);
  await ours.pins.pin(ours.extension, entry(3, 'shop'), signal);
  for (const { extension } of [ours, theirs]) {
    expect(extension.pin.get()?.revision).toBe(3);
  }
  expect(engine.objects).toHaveLength(2);
});

it('is not said to hold when all its names are taken', async () => {
  const engine = createConfigs();
  const { pins, extension } = createCore(engine);
  const taken = { ...engine, createConfig: () => Promise.reject(new OperationalError('ENGINE.NAME_TAKEN', 'taken')) };
  const { pins: stuck, extension: own } = createCore(taken);
  await expect(stuck.pin(own, entry(3, 'shop'), signal)).rejects.toMatchObject({ code: 'WIRE.REFUSED' });
  await pins.pin(extension, entry(3, 'shop'), signal);
  expect(extension.pin.get()?.revision).toBe(3);
});

/** As every ten seconds: the configs of this file answer without a timer. */
async function lookAgain({ pins, extension }: ReturnType<typeof createCore>): Promise<void> {
  const stop = new AbortController();
  const running = pins.component.run(stop.signal);
  await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  await running.catch(() => undefined);
  expect(extension.pin.get()).not.toBeUndefined();
}

const SEQUENCE = 'com.docker.interlock.sequence';

it.each([
  ['bytes that are no route set', { [SEQUENCE]: '9' }],
  ['labels that are not ours', { [SEQUENCE]: 'nine' }],
])('with %s does not end the one that is known, nor the labels', async (_, edited) => {
  const engine = createConfigs();
  const [pinned, free] = [createCore(engine), createCore(engine, 'another')];
  await pinned.pins.pin(pinned.extension, entry(3, 'shop'), signal);
  await free.pins.pin(free.extension, entry(4, 'other'), signal);
  await free.pins.unpin(free.extension, signal);
  const [good] = engine.objects.splice(0);
  for (const stack of ['interlock', 'another']) {
    const labels = { ...good?.labels, 'com.docker.stack.namespace': stack, ...edited };
    engine.objects.push({ id: stack, name: stack, labels, bytes: Buffer.from('x'), version: 1, createdAt: '' });
  }
  for (const core of [pinned, free]) {
    await lookAgain(core);
    expect(core.board.findings().map(({ code }) => code)).toContain('ROUTE.PIN_UNREADABLE');
  }
  expect(pinned.extension.pin.get()?.revision).toBe(3);
  expect(free.extension.pin.get()).toBeNull();
  expect(engine.objects).toHaveLength(2);

  await pinned.pins.unpin(pinned.extension, signal);
  await free.pins.pin(free.extension, entry(5, 'shop'), signal);
  await lookAgain(free);
  expect(pinned.board.findings()).toEqual([]);
  expect(free.board.findings().map(({ code }) => code)).toEqual(['ROUTE.PINNED']);
});

it('that loses against one of another core at the same time is refused, with what holds', async () => {
  const engine = createConfigs();
  const cores = [createCore(engine), createCore(engine)];
  const outcomes = await Promise.allSettled(
    cores.map(({ pins, extension }, at) => pins.pin(extension, entry(at + 3, `shop${at}`), signal)),
  );
  for (const core of cores) {
    await lookAgain(core);
  }
  const [holds] = new Set(cores.map(({ extension }) => extension.pin.get()?.revision));
  expect(engine.objects).toHaveLength(1);
  outcomes.forEach((outcome, at) => {
    expect(outcome.status).toBe(at + 3 === holds ? 'fulfilled' : 'rejected');
  });
  expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
    reason: {
      code: 'WIRE.REFUSED',
      message: expect.stringContaining(`another core pinned revision ${holds}`) as unknown,
    },
  });
});

it('removed while it is read means another look, not the labels', async () => {
  const engine = createConfigs();
  const one = createCore(engine);
  await one.pins.pin(one.extension, entry(3, 'shop'), signal);
  let meanwhile = async () => {
    await one.pins.pin(one.extension, entry(4, 'other'), signal);
  };
  const slow = {
    ...engine,
    async readConfig(id: string) {
      const act = meanwhile;
      meanwhile = () => Promise.resolve();
      await act();
      return engine.readConfig(id);
    },
  };
  const two = createCore(slow);
  const seen: unknown[] = [];
  const running = (async () => {
    for await (const pin of two.extension.pin.watch(signal)) {
      seen.push(pin?.revision);
      break;
    }
  })();
  await lookAgainUntil(two, running);
  expect(seen).toEqual([4]);
});

async function lookAgainUntil({ pins }: ReturnType<typeof createCore>, done: Promise<void>): Promise<void> {
  const stop = new AbortController();
  const running = pins.component.run(stop.signal);
  await done;
  stop.abort();
  await running.catch(() => undefined);
}
