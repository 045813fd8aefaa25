/**
 * Findings that are often over before anybody could act: `docker stack deploy` makes a secret and the service that names it at once, and
 * core may hear of the service first. They are told of when they are still there a second later.
 */
import { type Finding, type FindingCode, findingKey } from '../model/finding.ts';
import type { Clock } from '../runtime/clock.ts';

const HELD: ReadonlySet<FindingCode> = new Set(['SECRET.MISSING']);
const HELD_MS = 1_000;

export interface YoungFindings {
  /** Those to be told of now, and when to look at the same ones again, in ms; `undefined`: none is held back. */
  look(findings: readonly Finding[]): { readonly told: readonly Finding[]; readonly dueInMs: number | undefined };
}

export function createYoungFindings(clock: Pick<Clock, 'monotonic'>): YoungFindings {
  let since: ReadonlyMap<string, number> = new Map();
  return {
    look(findings) {
      const now = clock.monotonic();
      const held = findings.filter(({ code }) => HELD.has(code)).map(findingKey);
      since = new Map(held.map((key) => [key, since.get(key) ?? now]));
      const leftMs = (finding: Finding): number => (since.get(findingKey(finding)) ?? 0) + HELD_MS - now;
      const young = findings.filter((finding) => HELD.has(finding.code) && leftMs(finding) > 0);
      return {
        told: young.length === 0 ? findings : findings.filter((finding) => !young.includes(finding)),
        dueInMs: young.length === 0 ? undefined : Math.min(...young.map(leftMs)),
      };
    },
  };
}
