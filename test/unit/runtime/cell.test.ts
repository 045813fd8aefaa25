import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { createCell, createTrigger } from '../../../src/runtime/cell.ts';
import { settle } from '../../fakes/manual-clock.ts';

describe('createCell', () => {
  it('gives a reader the present value at once', async () => {
    const reader = read(createCell(7));

    await expect(reader.next()).resolves.toEqual({ done: false, value: 7 });
  });

  it('gives a slow reader the newest value, never a queue', async () => {
    const cell = createCell<number>();
    const reader = read(cell);
    cell.set(1);
    await reader.next();
    for (let value = 2; value <= 1_000; value += 1) {
      cell.set(value);
    }

    await expect(reader.next()).resolves.toEqual({ done: false, value: 1_000 });
    cell.set(1_001);
    await expect(reader.next()).resolves.toEqual({ done: false, value: 1_001 });
  });

  it('does not repeat a value that the reader has had', async () => {
    const cell = createCell(1);
    const reader = read(cell);
    await reader.next();

    const next = reader.next();
    await settle();
    cell.set(2);

    await expect(next).resolves.toEqual({ done: false, value: 2 });
  });

  it('wakes every reader, each at its own pace', async () => {
    const cell = createCell<string>();
    const readers = [read(cell), read(cell), read(cell)];
    const waiting = readers.map((reader) => reader.next());
    await settle();

    cell.set('new');

    await expect(Promise.all(waiting)).resolves.toEqual(readers.map(() => ({ done: false, value: 'new' })));
  });

  it('ends by throwing the reason, waiting or not', async () => {
    const reason = new Error('stop');
    const stop = new AbortController();
    const waiting = read(createCell<number>(), stop.signal).next();
    await settle();
    stop.abort(reason);

    await expect(waiting).rejects.toBe(reason);
    await expect(read(createCell(1), stop.signal).next()).rejects.toBe(reason);
  });

  it('leaves no listener behind over 10,000 waits', async () => {
    const cell = createCell<number>();
    const stop = new AbortController();
    const reader = read(cell, stop.signal);
    for (let value = 0; value < 10_000; value += 1) {
      const next = reader.next();
      await Promise.resolve();
      cell.set(value);
      await next;
    }

    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0);
  });
});

describe('createTrigger', () => {
  const forever = new AbortController().signal;

  it('folds signals that come while nobody waits into one', async () => {
    const trigger = createTrigger();
    trigger.fire();
    trigger.fire();
    await trigger.wait(forever);

    expect(await isSettled(trigger.wait(forever))).toBe(false);
  });

  it('remembers a signal that comes while the last one is worked on', async () => {
    const trigger = createTrigger();
    trigger.fire();
    await trigger.wait(forever);
    trigger.fire();

    expect(await isSettled(trigger.wait(forever))).toBe(true);
  });

  it('lets one of two waiters go per signal', async () => {
    const trigger = createTrigger();
    const waits = [trigger.wait(forever), trigger.wait(forever)];
    trigger.fire();

    const settled = await Promise.all(waits.map(isSettled));

    expect(settled.filter(Boolean)).toHaveLength(1);
  });

  it('hears an abort that comes between the signal and a waiter that found it taken', async () => {
    const trigger = createTrigger();
    const stop = new AbortController();
    const first = trigger.wait(forever);
    const second = trigger.wait(stop.signal);
    trigger.fire();
    stop.abort(new Error('stop'));

    await first;
    await expect(second).rejects.toThrow('stop');
  });

  it('leaves no listener behind over 10,000 waits, fired or aborted', async () => {
    const trigger = createTrigger();
    const stop = new AbortController();
    for (let round = 0; round < 10_000; round += 1) {
      const wait = trigger.wait(stop.signal);
      trigger.fire();
      await wait;
    }

    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0);
  });
});

function read<Value>(
  cell: { watch(signal: AbortSignal): AsyncIterable<Value> },
  signal = new AbortController().signal,
): AsyncIterator<Value> {
  return cell.watch(signal)[Symbol.asyncIterator]();
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => {
    settled = true;
  });
  await settle();
  return settled;
}
