/** What Swarm cannot tell us back about one extension's services: lost at a restart, which costs one more try and nothing else. */
import { canonicalJson } from '../../model/revision.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { DeliveryState } from '../board.ts';
import type { ServiceObject } from '../engine/engine-api.ts';
import { markOf, type SpecJson } from './desired.ts';
import type { EngineStep } from './execute.ts';
import { LABELS } from './names.ts';
import type { Observed, Role, Step } from './plan.ts';

/**
 * A service of ours that was there and is gone stays gone this long before it is made again: `docker stack rm` removes services one by
 * one, and core, told last, must not put back what was just taken away.
 */
export const RECREATE_AFTER_MS = 5_000;

/** Before core writes again what somebody else has overwritten; doubled each time, up to about five minutes. */
const REWRITE_AFTER_MS = 5_000;
const MAX_DOUBLINGS = 6;

/** Before a roll that failed is tried with a newer artifact. */
const RETRY_AFTER_MS = 5 * 60_000;

/** Between a write and Swarm's word that the service is updating. */
const ROLL_BEGINS_MS = 500;

export type UpdateStep = Extract<Step, { readonly kind: 'update-service' }>;

export interface Memory {
  /** What is there, and what would still have to be done about it. */
  saw(observed: Observed, steps: readonly Step[]): void;
  did(step: EngineStep): void;
  /** Somebody refers to this Docker Config: not worth another try in this life of core. */
  noteInUse(configId: string): void;
  isInUse(configId: string): boolean;
  /** A config that is not ours has the name with this number. */
  noteTaken(sequence: number): void;
  takenSequence(): number;
  /** How long to wait before a service that vanished is made again, in ms. */
  holdCreate(role: Role): number;
  /** Tasks of this service failed that were made from the templates with these marks; read back after a restart of core. */
  noteFailed(serviceId: string, marks: ReadonlySet<string>): void;
  /** Whether `noteFailed` is still due: Swarm rolled back something, and it is not known what. */
  isUnclear(service: ServiceObject): boolean;
  /**
   * Whether Swarm rolled exactly this back. In hitless mode the artifact does not count for a while: the agents serve the new one, so it
   * was the rest of the spec that failed, and each change of a label would make the proxies suffer the same roll again.
   */
  hasFailed(step: UpdateStep, mode: DeliveryState['mode']): boolean;
  /** Whether Swarm rolled back what was written a moment ago: a config for the next try is then in no hurry. */
  hasJustFailed(service: ServiceObject): boolean;
  /**
   * Whether Swarm may still be rolling the service forward; it says so only a moment after the write. One that is rolled back has
   * failed: nothing waits for its end.
   */
  isRolling(service: ServiceObject): boolean;
  /** A Docker Config of this many bytes was refused for its size. */
  noteTooLarge(bytes: number): void;
  /** The smallest size that was refused. */
  plainLimitBytes(): number;
  /** Whether exactly this stood there before, and somebody else (another core) wrote something else over it. */
  isContested(step: UpdateStep): boolean;
  /** How long to leave a contested service alone, in ms. */
  holdRewrite(role: Role): number;
}

export function createMemory(clock: Clock): Memory {
  const presence = createPresence(clock);
  const contests = createContests(clock);
  const written = new Map<string, string>();
  const writtenAtMs = new Map<string, number>();
  const failed = new Map<string, ReadonlySet<string>>();
  let tooLarge = Number.POSITIVE_INFINITY;
  const inUse = new Set<string>();
  let taken = 0;

  function hasJustFailed(service: ServiceObject): boolean {
    const sinceMs = clock.monotonic() - (writtenAtMs.get(service.id) ?? Number.NEGATIVE_INFINITY);
    return isRolledBack(service) && sinceMs < RETRY_AFTER_MS;
  }

  return {
    saw(observed, steps) {
      presence.saw(observed);
      contests.saw(observed, steps);
    },
    did(step) {
      if (step.kind === 'create-service') {
        presence.made(step.role);
      }
      if (step.kind === 'update-service') {
        written.set(step.service.id, appliedOf(step.spec));
        writtenAtMs.set(step.service.id, clock.monotonic());
        failed.delete(step.service.id);
        contests.wrote(step);
      }
    },
    noteInUse: (configId) => {
      inUse.add(configId);
    },
    isInUse: (configId) => inUse.has(configId),
    noteTaken(sequence) {
      taken = Math.max(taken, sequence);
    },
    takenSequence: () => taken,
    holdCreate: (role) => presence.holdCreate(role),
    noteFailed: (serviceId, marks) => {
      failed.set(serviceId, marks);
    },
    isUnclear: (service) => isRolledBack(service) && !written.has(service.id) && !failed.has(service.id),
    hasFailed({ service, spec }, mode) {
      const before = written.get(service.id);
      const isSame =
        before === appliedOf(spec) ||
        (mode === 'hitless' && hasJustFailed(service) && withoutArtifact(before) === withoutArtifact(appliedOf(spec)));
      return isRolledBack(service) && (isSame || failed.get(service.id)?.has(markOf(spec) ?? '') === true);
    },
    hasJustFailed,
    isRolling: ({ id, updateState }) =>
      updateState === 'updating' ||
      (updateState === 'none' &&
        clock.monotonic() - (writtenAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < ROLL_BEGINS_MS),
    noteTooLarge: (bytes) => {
      tooLarge = Math.min(tooLarge, bytes);
    },
    plainLimitBytes: () => tooLarge,
    isContested: (step) => contests.isContested(step),
    holdRewrite: (role) => contests.holdRewrite(role),
  };
}

/** Which services were there, and since when they are missing. */
function createPresence(clock: Clock) {
  const present = new Set<Role>();
  const missingSince = new Map<Role, number>();
  function made(role: Role): void {
    present.add(role);
    missingSince.delete(role);
  }
  return {
    made,
    saw(observed: Observed): void {
      for (const role of ['extension', 'proxy'] as const) {
        if (observed[role] !== undefined) {
          made(role);
        } else if (present.has(role) && !missingSince.has(role)) {
          missingSince.set(role, clock.monotonic());
        }
      }
    },
    holdCreate(role: Role): number {
      const since = missingSince.get(role);
      return since === undefined ? 0 : Math.max(0, since + RECREATE_AFTER_MS - clock.monotonic());
    },
  };
}

interface Contest {
  readonly rewrites: number;
  /** When the present overwriting was found; `undefined` while ours stands. */
  readonly since: number | undefined;
}

/** Two cores that want different things (an old config.toml, an extension that has left) must not write against each other at full speed. */
function createContests(clock: Clock) {
  const achieved = new Map<Role, string>();
  const contests = new Map<Role, Contest>();

  function achieve(role: Role, applied: string): void {
    if (achieved.get(role) !== applied) {
      achieved.set(role, applied);
      contests.delete(role);
    }
  }
  return {
    saw(observed: Observed, steps: readonly Step[]): void {
      for (const role of ['extension', 'proxy'] as const) {
        const service = observed[role];
        if (service !== undefined && !steps.some((step) => 'role' in step && step.role === role)) {
          achieve(role, appliedLabel(service.labels));
        }
      }
    },
    wrote({ role, spec }: UpdateStep): void {
      const { rewrites } = contests.get(role) ?? { rewrites: -1 };
      achieve(role, appliedOf(spec));
      contests.set(role, { rewrites: rewrites + 1, since: undefined });
    },
    isContested: ({ role, spec }: UpdateStep): boolean => achieved.get(role) === appliedOf(spec),
    holdRewrite(role: Role): number {
      const { rewrites, since = clock.monotonic() } = contests.get(role) ?? { rewrites: 0 };
      contests.set(role, { rewrites, since });
      return Math.max(0, since + REWRITE_AFTER_MS * 2 ** Math.min(rewrites, MAX_DOUBLINGS) - clock.monotonic());
    },
  };
}

function isRolledBack({ updateState }: ServiceObject): boolean {
  return updateState.startsWith('rollback');
}

/** An applied spec as text (`appliedOf`) but for what changes with each artifact. */
function withoutArtifact(applied: string | undefined): string {
  const varying = new Set<string>(['Configs', LABELS.digest, LABELS.template]);
  const text: unknown = applied === undefined ? undefined : JSON.parse(applied);
  const spec: unknown = typeof text === 'string' ? JSON.parse(text) : text;
  return canonicalJson(
    JSON.parse(JSON.stringify(spec ?? null, (key, value: unknown) => (varying.has(key) ? null : value))),
  );
}

function appliedOf(spec: SpecJson): string {
  const labels = spec['Labels'];
  return appliedLabel(typeof labels === 'object' && labels !== null ? (labels as Record<string, unknown>) : {});
}

function appliedLabel(labels: Readonly<Record<string, unknown>> | ServiceObject['labels']): string {
  return canonicalJson(labels[LABELS.applied]);
}
