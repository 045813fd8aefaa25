/** How things stand with this proxy, as one value; and what of it core has not heard yet. */
import type { Finding } from '../../model/finding.ts';
import type { AgentReport } from '../../wire/contract.ts';

export interface Standing {
  /** What NGINX serves; `undefined` before it serves. A new object at each application. */
  readonly serving: Served | undefined;
  /** The last artifact it would not serve, until another one is applied. A new object at each refusal. */
  readonly refused: RefusedArtifact | undefined;
  readonly draining: boolean;
}

export interface Served {
  readonly digest: string;
  readonly durationMs: number;
  /** What this proxy lacks for it. */
  readonly findings: readonly Finding[];
}

export interface RefusedArtifact {
  readonly digest: string;
  readonly reason: string;
  readonly durationMs: number;
}

export const NOTHING_YET: Standing = { serving: undefined, refused: undefined, draining: false };

/** The reports that bring who knows `heard` to `now`; in a new session `heard` is `NOTHING_YET`. */
export function reportsBetween(heard: Standing, now: Standing): readonly AgentReport[] {
  const findings = now.serving?.findings ?? [];
  const reports: AgentReport[] = [];
  if (now.serving !== undefined && now.serving !== heard.serving) {
    const { digest, durationMs } = now.serving;
    reports.push({ artifactDigest: digest, outcome: { kind: 'applied' }, durationMs, findings });
  }
  if (now.refused !== undefined && now.refused !== heard.refused) {
    const { digest, reason, durationMs } = now.refused;
    reports.push({ artifactDigest: digest, outcome: { kind: 'refused', reason }, durationMs, findings });
  }
  if (now.draining && !heard.draining) {
    reports.push({ artifactDigest: now.serving?.digest, outcome: { kind: 'draining' }, durationMs: 0, findings: [] });
  }
  return reports;
}
