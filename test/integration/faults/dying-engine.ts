/** An engine behind which core dies: its n-th write is carried out, and nobody hears the answer. */
import { createDockerodeEngine } from '../../../src/core/engine/dockerode-engine.ts';
import type { EngineApi } from '../../../src/core/engine/engine-api.ts';
import { LABELS, TYPES } from '../../../src/core/publish/names.ts';
import { OperationalError } from '../../../src/runtime/errors.ts';

const WRITES = [
  'createSecret',
  'removeSecret',
  'createConfig',
  'removeConfig',
  'createService',
  'updateService',
  'removeService',
] as const satisfies readonly (keyof EngineApi)[];

/** History is written beside all else, whenever it has time. */
function isRouteSet(given: unknown): boolean {
  return (
    (given as { readonly labels?: Readonly<Record<string, string>> } | undefined)?.labels?.[LABELS.type] ===
    TYPES.routes
  );
}

export interface DyingEngine {
  readonly engine: EngineApi;
  /** What was carried out. */
  readonly writes: readonly string[];
  /** From now on a write fails: a core that was killed stores nothing when it is told to stop. */
  end(): void;
}

/** The `last`th write is carried out and its answer never heard: core is killed there. */
export function dyingEngine(dockerUrl: string, last: number): DyingEngine {
  const real = createDockerodeEngine({ dockerUrl });
  const writes: string[] = [];
  const over = new AbortController();
  const engine = new Proxy(real, {
    get(target, name, receiver) {
      const method: unknown = Reflect.get(target, name, receiver);
      if (typeof method !== 'function' || !WRITES.some((write) => write === name)) {
        return method;
      }
      return async (...given: readonly unknown[]): Promise<unknown> => {
        if (isRouteSet(given[0])) {
          return await Reflect.apply(method, target, given);
        }
        if (writes.length >= last) {
          return await untilKilled(given.at(-1), over.signal);
        }
        const answer: unknown = await Reflect.apply(method, target, given);
        writes.push(String(name));
        return writes.length >= last ? await untilKilled(given.at(-1), over.signal) : answer;
      };
    },
  });
  return { engine, writes, end: () => over.abort() };
}

/** Rejects when the call is given up, or its core is over. */
function untilKilled(signal: unknown, over: AbortSignal): Promise<never> {
  if (!(signal instanceof AbortSignal)) {
    throw new Error('a write without a signal');
  }
  const either = AbortSignal.any([signal, over]);
  return new Promise((_, reject) => {
    const end = (): void =>
      reject(signal.aborted ? (signal.reason as Error) : new OperationalError('ENGINE.UNREACHABLE', 'core was killed'));
    if (either.aborted) {
      end();
    }
    either.addEventListener('abort', end, { once: true });
  });
}
