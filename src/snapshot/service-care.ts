/** From a service's spec to how carefully Swarm treats its tasks: what `interlock doctor` looks at. */
import { z } from 'zod';
import { oneOf } from './parse.ts';

export interface ServiceCare {
  /** `image`: the spec says nothing, so the image's HEALTHCHECK counts, which a manager cannot see. */
  readonly healthcheck: 'set' | 'off' | 'image';
  /** Which task goes first in an update. */
  readonly updateOrder: 'start-first' | 'stop-first';
  /** Tasks that an update replaces at once; 0: all of them. */
  readonly updateParallelism: number;
  /** Time between the stop signal and the kill. */
  readonly stopGraceMs: number;
}

/** The Engine's defaults where a spec is silent. */
const DEFAULT_GRACE_NS = 10_000_000_000;
const NS_PER_MS = 1_000_000;

const spec = z.looseObject({
  TaskTemplate: z
    .object({
      ContainerSpec: z
        .object({
          Healthcheck: z.object({ Test: z.array(z.string()).nullish() }).nullish(),
          StopGracePeriod: z.number().nullish(),
        })
        .nullish(),
    })
    .nullish(),
  UpdateConfig: z.object({ Parallelism: z.number().nullish(), Order: z.string().nullish() }).nullish(),
});

const care = spec.transform(({ TaskTemplate, UpdateConfig }): ServiceCare => {
  const container = TaskTemplate?.ContainerSpec;
  const [test] = container?.Healthcheck?.Test ?? [];
  return {
    healthcheck: test === undefined || test === '' ? 'image' : test === 'NONE' ? 'off' : 'set',
    updateOrder: UpdateConfig?.Order === 'start-first' ? 'start-first' : 'stop-first',
    // Without an update config Swarm replaces one task at a time; within one, a number left out is 0.
    updateParallelism: UpdateConfig == null ? 1 : (UpdateConfig.Parallelism ?? 0),
    stopGraceMs: (container?.StopGracePeriod ?? DEFAULT_GRACE_NS) / NS_PER_MS,
  };
});

/** Throws SnapshotParseError. */
export const parseServiceCare: (raw: unknown) => ServiceCare = oneOf('service spec', care);
