/** Carries out planned steps, one Engine call each. Thin: every decision is in the plan. */
import { assertNever } from '../../runtime/errors.ts';
import type { EngineApi } from '../engine/engine-api.ts';
import type { Step } from './plan.ts';

/** Steps that change Swarm; `refuse-service` is a finding and no call. */
export type EngineStep = Exclude<Step, { readonly kind: 'refuse-service' }>;

/** Returns the id of what was created, if anything was. */
export async function executeStep(
  engine: EngineApi,
  step: EngineStep,
  signal: AbortSignal,
): Promise<string | undefined> {
  signal.throwIfAborted();
  switch (step.kind) {
    case 'create-config':
      return engine.createConfig(step.config, signal);
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
