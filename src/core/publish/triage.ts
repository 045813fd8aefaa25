/** Which planned steps are carried out now, which wait, and which only become a finding. */
import { createFinding, type Finding } from '../../model/finding.ts';
import type { OperationalError } from '../../runtime/errors.ts';
import type { ServiceObject } from '../engine/engine-api.ts';
import type { EngineStep } from './execute.ts';
import type { Memory, UpdateStep } from './memory.ts';
import type { Step } from './plan.ts';

export interface Triage {
  readonly now: readonly EngineStep[];
  /** The shortest time after which a step that waits may be due. */
  readonly holdMs: number | undefined;
  readonly findings: readonly Finding[];
}

export interface TriageFacts {
  readonly memory: Memory;
  /** Steps that the Engine refused in this reconciliation, by `stepKey`. */
  readonly refused: ReadonlyMap<string, Finding>;
  /** The delivery was rendered from the newest model: only then is it worth defending against another core. */
  readonly deliveryIsNewest: boolean;
}

type Verdict =
  | { readonly kind: 'now'; readonly step: EngineStep }
  | { readonly kind: 'hold'; readonly ms: number }
  | { readonly kind: 'finding'; readonly finding: Finding }
  | { readonly kind: 'leave' };

export function triage(steps: readonly Step[], facts: TriageFacts): Triage {
  const verdicts = steps.map((step) => judge(step, facts));
  const holds = verdicts.flatMap((verdict) => (verdict.kind === 'hold' ? [verdict.ms] : []));
  return {
    now: verdicts.flatMap((verdict) => (verdict.kind === 'now' ? [verdict.step] : [])),
    holdMs: holds.length === 0 ? undefined : Math.min(...holds),
    findings: verdicts.flatMap((verdict) => (verdict.kind === 'finding' ? [verdict.finding] : [])),
  };
}

function judge(step: Step, facts: TriageFacts): Verdict {
  const { memory } = facts;
  if (step.kind === 'refuse-service') {
    return { kind: 'finding', finding: nameTaken(step.service) };
  }
  const refusal = facts.refused.get(stepKey(step));
  if (refusal !== undefined) {
    return { kind: 'finding', finding: refusal };
  }
  switch (step.kind) {
    case 'create-service':
      return heldBy(memory.holdCreate(step.role), step);
    case 'create-config':
      // While the stack is being taken away, a new config would be left behind: `docker stack rm` has its list already.
      return heldBy(Math.max(memory.holdCreate('extension'), memory.holdCreate('proxy')), step);
    case 'update-service':
      return judgeUpdate(step, facts);
    case 'remove-config':
      return memory.isInUse(step.config.id) ? { kind: 'leave' } : { kind: 'now', step };
  }
}

function judgeUpdate(step: UpdateStep, { memory, deliveryIsNewest }: TriageFacts): Verdict {
  if (memory.hasFailed(step)) {
    return { kind: 'finding', finding: rollFailed(step.service) };
  }
  if (!memory.isContested(step)) {
    return { kind: 'now', step };
  }
  return step.role === 'proxy' && !deliveryIsNewest ? { kind: 'leave' } : heldBy(memory.holdRewrite(step.role), step);
}

function heldBy(ms: number, step: EngineStep): Verdict {
  return ms > 0 ? { kind: 'hold', ms } : { kind: 'now', step };
}

/** What a refusal is remembered by within one reconciliation. */
export function stepKey(step: EngineStep): string {
  switch (step.kind) {
    case 'create-config':
      return `${step.kind} ${step.config.name}`;
    case 'remove-config':
      return `${step.kind} ${step.config.id}`;
    case 'create-service':
    case 'update-service':
      return `${step.kind} ${step.role}`;
  }
}

/** Swarm takes less than 1,000 KiB: swarmkit, manager/controlapi/config.go. */
const MAX_CONFIG_BYTES = 1_024_000;

/** The Engine said no for good: said again at every new attempt, and once in the log. */
export function refusedFinding(step: EngineStep, error: OperationalError): Finding {
  if (step.kind === 'create-config') {
    const { name, bytes } = step.config;
    const tooLarge = bytes.byteLength >= MAX_CONFIG_BYTES;
    return tooLarge
      ? createFinding(
          'PUBLISH.CONFIG_TOO_LARGE',
          `The rendered file has ${bytes.byteLength} bytes; Swarm stores less than ${MAX_CONFIG_BYTES} in one Docker Config. Spread the services over several service clusters.`,
        )
      : createFinding('PUBLISH.REFUSED', `The engine refuses the config ${name}: ${error.message}`);
  }
  const about = step.kind === 'remove-config' ? {} : { service: nameOf(step) };
  return createFinding('PUBLISH.REFUSED', `The engine refuses it: ${error.message}`, {
    ...about,
    subject: step.kind,
    value: error.message,
  });
}

function nameOf(step: Extract<EngineStep, { readonly role: unknown }>): string {
  const name = step.kind === 'update-service' ? step.service.name : step.spec['Name'];
  return typeof name === 'string' ? name : '';
}

function nameTaken(service: ServiceObject): Finding {
  return createFinding(
    'PUBLISH.NAME_TAKEN',
    'A service that Interlock did not make has this name: rename or remove it, or set another ServiceName or ProxyServiceName.',
    { service: service.name },
  );
}

function rollFailed(service: ServiceObject): Finding {
  return createFinding(
    'PUBLISH.ROLL_FAILED',
    'Swarm rolled the service back; the same configuration is not tried again until something changes. See docker service ps.',
    { service: service.name, value: service.updateMessage ?? service.updateState },
  );
}
