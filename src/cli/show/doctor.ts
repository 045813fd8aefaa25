/** A diagnosis in words. */
import type { Check, Diagnosis, Verdict } from '../../wire/diagnosis.ts';
import { type Paint, plain, plural, short, type Tone } from './text.ts';

const TONES: Readonly<Record<Verdict, Tone>> = { ok: 'good', unknown: 'dim', warn: 'warn', bad: 'bad' };
const MARGIN = ' '.repeat(9);

export function doctorLines({ checks }: Diagnosis, paint: Paint): readonly string[] {
  const width = Math.max(0, ...checks.map(({ id }) => plain(id).length));
  const count = (verdict: Verdict) => checks.filter((check) => check.verdict === verdict).length;
  const wrong = [plural(count('bad'), 'thing is bad', 'things are bad'), plural(count('warn'), 'warning')];
  const summary = count('bad') + count('warn') === 0 ? 'nothing is wrong' : wrong.join(', ');
  return [...checks.flatMap((check) => linesOf(check, width, paint)), '', summary];
}

function linesOf({ id, verdict, seen, todo, about }: Check, width: number, paint: Paint): readonly string[] {
  const names = about.map((name) => short(name)).join(', ');
  return [
    `${paint(TONES[verdict], verdict.padEnd(7))}  ${plain(id).padEnd(width)}  ${short(seen, 400)}`,
    ...(names === '' ? [] : [`${MARGIN}${paint('strong', names)}`]),
    ...(todo === undefined ? [] : [`${MARGIN}${plain(todo)}`]),
  ];
}

/** `true`: nothing is bad, and with `strict` nothing is to be warned of either. */
export function isHealthy({ checks }: Diagnosis, strict: boolean): boolean {
  return !checks.some(({ verdict }) => verdict === 'bad' || (strict && verdict === 'warn'));
}
