/** A file that does not fit into a Docker Config: how that is recognised, and what people are told. */

import { type ClusterModel, compareText } from '../../model/cluster.ts';
import { createFinding, type Finding } from '../../model/finding.ts';
import type { OperationalError } from '../../runtime/errors.ts';
import type { EngineStep } from './execute.ts';

/**
 * Swarmkit's words: `config data must be larger than 0 and less than 1024000 bytes` (the number differs between versions); above 4 MiB
 * gRPC's own: `received message larger than max`.
 */
const WORDS = /must be larger than 0 and less than \d+ bytes|message larger than max/i;

export function isTooLarge(step: EngineStep, error: OperationalError): boolean {
  return step.kind === 'create-config' && step.config.bytes.byteLength > 0 && WORDS.test(error.message);
}

const NAMED = 3;

/** `packed`: it was refused with gzip too; otherwise the proxy's image has nobody to unpack it. */
export function tooLargeFinding(bytes: number, packed: boolean, model: ClusterModel | undefined): Finding {
  const why = packed
    ? 'also when packed. Spread the services over several service clusters.'
    : 'and the proxy image has no agent that would unpack it. Use our proxy image, or spread the services over several service clusters.';
  const largest = model === undefined ? [] : largestServices(model).slice(0, NAMED);
  return createFinding(
    'PUBLISH.CONFIG_TOO_LARGE',
    `The rendered file has ${bytes} bytes: more than Swarm stores in one Docker Config, ${why}`,
    largest.length === 0 ? {} : { value: `largest: ${largest.join(', ')}` },
  );
}

/** By the share of the model that is theirs; what several share counts for the first. */
function largestServices({ pools }: ClusterModel): readonly string[] {
  const sizes = new Map<string, number>();
  for (const { services, endpoints } of pools) {
    const [owner] = services;
    if (owner !== undefined) {
      sizes.set(owner, (sizes.get(owner) ?? 0) + 1 + endpoints.length);
    }
  }
  return [...sizes].sort(([a, left], [b, right]) => right - left || compareText(a, b)).map(([name]) => name);
}
