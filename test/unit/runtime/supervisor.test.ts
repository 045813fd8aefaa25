import { getEventListeners } from 'node:events';
import { beforeEach, describe, expect, it } from 'vitest';
import { createLogger } from '../../../src/runtime/logging.ts';
import { type Component, runComponents } from '../../../src/runtime/supervisor.ts';
import { settle } from '../../fakes/manual-clock.ts';

const lines: string[] = [];
const logger = createLogger({ level: 'debug', component: 'test' }, { write: (line) => void lines.push(line) });
const story: string[] = [];
let stop: AbortController;

beforeEach(() => {
  stop = new AbortController();
  lines.length = 0;
  story.length = 0;
});

describe('runComponents', () => {
  it('starts in flow order and stops backwards, each when the one behind it has ended', async () => {
    const running = runComponents(
      ['a', 'b', 'c'].map((name) => lasting(name)),
      stop.signal,
      logger,
    );
    await settle();
    stop.abort(new Error('stop'));

    await expect(running).resolves.toBeUndefined();
    expect(story).toEqual(['a up', 'b up', 'c up', 'c told', 'c down', 'b told', 'b down', 'a told', 'a down']);
  });

  it('rejects with the first error, after all others have ended', async () => {
    const first = new Error('first');
    const running = runComponents([lasting('a'), failing('b', first), lasting('c')], stop.signal, logger);

    await expect(running).rejects.toBe(first);
    expect(story).toContain('a down');
    expect(story).toContain('c down');
  });

  it('logs the errors that come after the first', async () => {
    const first = new Error('first');
    const second = new Error('second');
    const running = runComponents([failing('a', first), failing('b', second), lasting('c')], stop.signal, logger);

    await expect(running).rejects.toBe(first);
    expect(lines.join('')).toContain('"message":"second"');
  });

  it('takes a component that ends early for a failure', async () => {
    const short: Component = { name: 'short', run: () => Promise.resolve() };

    await expect(runComponents([lasting('a'), short], stop.signal, logger)).rejects.toThrow('short ended by itself');
    expect(story).toContain('a down');
  });

  it('takes a throw before the first await for a failure like any other', async () => {
    const broken: Component = {
      name: 'broken',
      run: () => {
        throw new Error('at once');
      },
    };

    await expect(runComponents([broken, lasting('a')], stop.signal, logger)).rejects.toThrow('at once');
    expect(story).toContain('a down');
  });

  it('lets a component end before its turn once the daemon stops', async () => {
    let behindEnded: () => void = () => undefined;
    const early: Component = {
      name: 'early',
      run: () =>
        new Promise((resolve) => {
          behindEnded = resolve;
        }),
    };
    const behind: Component = {
      name: 'behind',
      async run(signal) {
        await aborted(signal);
        behindEnded();
        await settle();
      },
    };
    const running = runComponents([early, behind], stop.signal, logger);
    await settle();
    stop.abort();

    await expect(running).resolves.toBeUndefined();
  });

  it('takes the reason thrown on stop for a clean end, and does not hide another error', async () => {
    const rethrows: Component = {
      name: 'rethrows',
      async run(signal) {
        await aborted(signal);
        signal.throwIfAborted();
      },
    };
    const breaks: Component = {
      name: 'breaks',
      async run(signal) {
        await aborted(signal);
        throw new Error('could not close');
      },
    };
    const running = runComponents([rethrows, breaks], stop.signal, logger);
    await settle();
    stop.abort(new Error('asked'));

    await expect(running).resolves.toBeUndefined();
    expect(lines.join('')).toContain('could not close');
    expect(lines.join('')).not.toContain('asked');
  });

  it('starts nothing when it was stopped before', async () => {
    stop.abort();

    await expect(runComponents([lasting('a')], stop.signal, logger)).resolves.toBeUndefined();
    expect(story).toEqual([]);
  });

  it('leaves no listener on the signal', async () => {
    await expect(runComponents([failing('a', new Error('x'))], stop.signal, logger)).rejects.toThrow('x');

    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0);
  });
});

function lasting(name: string): Component {
  return {
    name,
    async run(signal) {
      story.push(`${name} up`);
      await aborted(signal);
      story.push(`${name} told`);
      await settle();
      story.push(`${name} down`);
    },
  };
}

function failing(name: string, error: Error): Component {
  return {
    name,
    async run() {
      await Promise.resolve();
      throw error;
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
