/** Which planned steps are carried out now, which wait, and which only become a finding. */

import type { ClusterModel } from '../../model/cluster.ts';
import { createFinding, type Finding } from '../../model/finding.ts';
import type { OperationalError } from '../../runtime/errors.ts';
import type { DeliveryState } from '../board.ts';
import type { ServiceObject } from '../engine/engine-api.ts';
import type { EngineStep } from './execute.ts';
import type { Memory, UpdateStep } from './memory.ts';
import type { ForeignService, Step } from './plan.ts';
import { tooLargeFinding } from './too-large.ts';

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
  readonly mode: DeliveryState['mode'];
  readonly model: ClusterModel | undefined;
  readonly proxy: ServiceObject | undefined;
  /** Its roll does not get on: then it is no use to wait for its end. */
  readonly isStuck: boolean;
  /** Until the newest artifact is stored for its own sake, in ms. */
  readonly storeInMs: number;
  /** Until more networks and secrets that one roll could take along would have come, in ms. */
  readonly gatherMs: number;
}

/** Swarm's word that a roll has ended makes core look at once; this is in case it gets lost. */
const ROLL_RECHECK_MS = 2_000;

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
    return { kind: 'finding', finding: nameTaken(step) };
  }
  if (step.kind === 'refuse-config') {
    return { kind: 'finding', finding: tooLargeFinding(step.bytes, false, facts.model) };
  }
  const refusal = facts.refused.get(stepKey(step));
  if (refusal !== undefined) {
    return { kind: 'finding', finding: refusal };
  }
  switch (step.kind) {
    case 'create-service':
      return heldBy(memory.holdCreate(step.role), step);
    case 'create-config':
      return heldBy(holdConfig(step, facts), step);
    case 'update-service':
      return judgeUpdate(step, facts);
    case 'remove-config':
      return memory.isInUse(step.config.id) ? { kind: 'leave' } : { kind: 'now', step };
  }
}

/** While the stack is being taken away, a new config would be left behind: `docker stack rm` has its list already. */
function holdConfig(step: Extract<EngineStep, { readonly kind: 'create-config' }>, facts: TriageFacts): number {
  const { memory, proxy, mode, storeInMs } = facts;
  const vanished = Math.max(memory.holdCreate('extension'), memory.holdCreate('proxy'));
  const isForLater =
    step.purpose === 'store' || (mode === 'hitless' && proxy !== undefined && memory.hasJustFailed(proxy));
  return Math.max(vanished, isForLater ? storeInMs : holdRoll(facts));
}

/** One roll at a time: what comes up meanwhile waits for its end, and the newest wins. */
function holdRoll({ memory, proxy, isStuck, gatherMs }: TriageFacts): number {
  if (proxy === undefined) {
    return 0;
  }
  return memory.isRolling(proxy) && !isStuck ? ROLL_RECHECK_MS : gatherMs;
}

function judgeUpdate(step: UpdateStep, facts: TriageFacts): Verdict {
  const { memory, deliveryIsNewest } = facts;
  if (memory.hasFailed(step, facts.mode)) {
    return { kind: 'finding', finding: rollFailed(step.service) };
  }
  const holdMs = step.role === 'proxy' ? holdRoll(facts) : 0;
  if (holdMs > 0) {
    return { kind: 'hold', ms: holdMs };
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

/** Whether a `stepKey` is one of a service. */
export function isOfService(key: string): boolean {
  return /^(?:create|update)-service /.test(key);
}

/** The Engine said no for good: said again at every new attempt, and once in the log. */
export function refusedFinding(step: EngineStep, error: OperationalError): Finding {
  if (step.kind === 'create-config') {
    return createFinding('PUBLISH.REFUSED', `The engine refuses the config ${step.config.name}: ${error.message}`);
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

function nameTaken({ service, maker }: ForeignService): Finding {
  const about = { service: service.name };
  return maker === undefined
    ? createFinding(
        'PUBLISH.NAME_TAKEN',
        'A service that Interlock did not make has this name: rename or remove it, or set another ServiceName or ProxyServiceName.',
        about,
      )
    : createFinding(
        'PUBLISH.NAME_TAKEN',
        'Another Interlock, or another table, made the service of this name, and it is left alone: set another ServiceName or ProxyServiceName, or remove it there.',
        { ...about, value: `made by ${maker}` },
      );
}

function rollFailed(service: ServiceObject): Finding {
  return createFinding(
    'PUBLISH.ROLL_FAILED',
    'Swarm rolled the service back; the same configuration is not tried again until something changes. See docker service ps.',
    { service: service.name, value: service.updateMessage ?? service.updateState },
  );
}
