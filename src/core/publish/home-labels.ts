/**
 * By which labels core knows again what it made: the name of its stack or, outside of any, of its own service. Both are unique in a
 * Swarm, so what another Interlock made is never taken for one's own, whatever its tables are named. Pure.
 */
import { LABELS } from './names.ts';

/** What an identity is made of. A core that is no service of the Swarm has neither, and its things carry neither label. */
export interface Identity {
  readonly stack: string | undefined;
  readonly serviceName?: string | undefined;
}

/** Goes onto everything that core makes. */
export function homeLabels({ stack, serviceName }: Identity): Readonly<Record<string, string>> {
  if (stack !== undefined) {
    return { [LABELS.stack]: stack };
  }
  return serviceName === undefined ? {} : { [LABELS.coreService]: serviceName };
}

/** Whether it carries exactly what `homeLabels` says. */
export function isOfHome(
  labels: Readonly<Record<string, string | undefined>>,
  { stack, serviceName }: Identity,
): boolean {
  return labels[LABELS.stack] === stack && (stack !== undefined || labels[LABELS.coreService] === serviceName);
}

/** The same for what may be older than `coreService`, and is no harm where two cores outside of any stack share it. */
export function mayBeOfHome(
  labels: Readonly<Record<string, string | undefined>>,
  { stack, serviceName }: Identity,
): boolean {
  const core = labels[LABELS.coreService];
  return labels[LABELS.stack] === stack && (stack !== undefined || core === undefined || core === serviceName);
}

/** Without an identity core could not tell its own from those of another such core: it may not remove what it does not want. */
export function hasIdentity({ stack, serviceName }: Identity): boolean {
  return stack !== undefined || serviceName !== undefined;
}
