/** The Engine, with each call timed and each failure counted. What it answers is passed on as it is. */
import type { Clock } from '../../runtime/clock.ts';
import { isOperational } from '../../runtime/errors.ts';
import type { EngineApi, EngineEvent } from '../engine/engine-api.ts';

export interface EngineWatcher {
  onCall(call: string, ms: number): void;
  /** `code`: one of docs/codes.md, or `other` for a bug of ours. A call that was given up is none. */
  onFailure(call: string, code: string): void;
  onEvent(kind: string): void;
}

type Calls = Omit<EngineApi, 'events'>;

export function watchedEngine(engine: EngineApi, clock: Pick<Clock, 'monotonic'>, watcher: EngineWatcher): EngineApi {
  const fail = (call: string, error: unknown): void =>
    watcher.onFailure(call, isOperational(error) ? error.code : 'other');

  function timed<Name extends keyof Calls>(call: Name): EngineApi[Name] {
    const ask = engine[call].bind(engine) as (...args: unknown[]) => Promise<unknown>;
    const asked = async (...args: unknown[]): Promise<unknown> => {
      const begunAt = clock.monotonic();
      try {
        const answer = await ask(...args);
        watcher.onCall(call, clock.monotonic() - begunAt);
        return answer;
      } catch (error) {
        if (!args.some((arg) => arg instanceof AbortSignal && arg.aborted)) {
          watcher.onCall(call, clock.monotonic() - begunAt);
          fail(call, error);
        }
        throw error;
      }
    };
    return asked as EngineApi[Name]; // the same arguments and the same answer
  }

  return {
    info: timed('info'),
    self: timed('self'),
    listServices: timed('listServices'),
    listTasks: timed('listTasks'),
    listNodes: timed('listNodes'),
    listNetworks: timed('listNetworks'),
    listSecrets: timed('listSecrets'),
    inspectService: timed('inspectService'),
    listServiceObjects: timed('listServiceObjects'),
    listTaskFates: timed('listTaskFates'),
    createService: timed('createService'),
    updateService: timed('updateService'),
    removeService: timed('removeService'),
    listConfigs: timed('listConfigs'),
    readConfig: timed('readConfig'),
    createConfig: timed('createConfig'),
    removeConfig: timed('removeConfig'),
    createSecret: timed('createSecret'),
    removeSecret: timed('removeSecret'),
    secretsOfTasks: timed('secretsOfTasks'),
    async *events(signal): AsyncGenerator<EngineEvent> {
      try {
        for await (const event of engine.events(signal)) {
          watcher.onEvent(event.kind);
          yield event;
        }
      } catch (error) {
        if (!signal.aborted) {
          fail('events', error);
        }
        throw error;
      }
    },
  };
}
