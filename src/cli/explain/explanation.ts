/** What `interlock explain` comes to: a verdict, the way there step by step, and what is wrong. The shape of its `--json`. */
import type { Finding } from '../../model/finding.ts';
import { findingKey } from '../../model/finding.ts';

/** `served`: a service answers. `redirected`: NGINX does, with a redirect. `not-served`: neither. */
export type Verdict = 'served' | 'redirected' | 'not-served';

export interface Step {
  /** `bad`: here it ends. `note`: worth knowing. */
  readonly state: 'ok' | 'note' | 'bad';
  readonly text: string;
  /** What to do about it. */
  readonly advice?: string | undefined;
}

export function ok(text: string): Step {
  return { state: 'ok', text };
}

export function note(text: string, advice?: string): Step {
  return { state: 'note', text, advice };
}

export function bad(text: string, advice?: string): Step {
  return { state: 'bad', text, advice };
}

/** Each finding once. */
export function distinctFindings(findings: readonly Finding[]): readonly Finding[] {
  return [...new Map(findings.map((finding) => [findingKey(finding), finding])).values()];
}

/** `"prod"`; the default cluster has no name. */
export function quotedCluster(serviceCluster: string): string {
  return serviceCluster === '' ? 'the default service cluster' : `the service cluster "${serviceCluster}"`;
}
