/** Findings as people read them. */
import type { Finding } from '../../model/finding.ts';
import { type Paint, plural, short, type Tone } from './text.ts';

const TONES: Readonly<Record<Finding['severity'], Tone>> = { error: 'bad', warn: 'warn', info: 'dim' };
const ORDER: readonly Finding['severity'][] = ['error', 'warn', 'info'];

/** Worst first; equal ones keep their order. */
export function worstFirst(findings: readonly Finding[]): readonly Finding[] {
  return ORDER.flatMap((severity) => findings.filter((finding) => finding.severity === severity));
}

/** `2 errors, 1 warning`; `none`. */
export function countText(findings: readonly Finding[]): string {
  const names = { error: ['error', 'errors'], warn: ['warning', 'warnings'], info: ['note', 'notes'] } as const;
  const counts = ORDER.flatMap((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length;
    return count === 0 ? [] : [plural(count, names[severity][0], names[severity][1])];
  });
  return counts.length === 0 ? 'none' : counts.join(', ');
}

/** One line for what and where, one for what to do. */
export function findingLines(findings: readonly Finding[], paint: Paint): readonly string[] {
  return worstFirst(findings).flatMap(({ severity, code, service, subject, value, advice }) => {
    const about = [service, subject, value === undefined ? undefined : `"${value}"`].flatMap((part) =>
      part === undefined ? [] : [short(part, 120)],
    );
    return [
      [paint(TONES[severity], severity.padEnd(5)), code, ...about].join(' ').trimEnd(),
      `      ${short(advice, 1_000)}`,
    ];
  });
}
