/** Carries out planned steps, one Engine call each. Thin: every decision is in the plan. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { assertNever } from '../../runtime/errors.ts';
import type { EngineApi, NewConfig } from '../engine/engine-api.ts';
import type { Step } from './plan.ts';

/** Steps that change Swarm; a refusal is a finding and no call. */
export type EngineStep = Exclude<Step, { readonly kind: 'refuse-service' | 'refuse-config' }>;

/** Returns the id of what was created, if anything was. */
export async function executeStep(
  engine: EngineApi,
  step: EngineStep,
  signal: AbortSignal,
): Promise<string | undefined> {
  signal.throwIfAborted();
  switch (step.kind) {
    case 'create-config':
      return engine.createConfig(await encoded(step), signal);
    case 'create-service':
      return engine.createService(step.spec, signal);
    case 'update-service':
      await engine.updateService(step.service.id, step.service.version, step.spec, signal);
      return undefined;
    case 'remove-config':
      await engine.removeConfig(step.config.id, signal);
      return undefined;
    default:
      return assertNever(step);
  }
}

const pack = promisify(gzip);

async function encoded({ config, encoding }: Extract<Step, { readonly kind: 'create-config' }>): Promise<NewConfig> {
  return encoding === 'plain' ? config : { ...config, bytes: await pack(config.bytes, { level: 9 }) };
}
