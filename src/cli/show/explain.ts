/** Explanations as people read them. Pure. */
import type { Step, Verdict } from '../explain/explanation.ts';
import type { ServiceExplanation } from '../explain/service.ts';
import type { UrlExplanation } from '../explain/url.ts';
import { findingLines } from './findings.ts';
import { type Paint, plain, short, shortId, table } from './text.ts';

const MARKS = { ok: ['good', 'ok  '], note: ['warn', 'note'], bad: ['bad', 'no  '] } as const;

function stepLines(steps: readonly Step[], paint: Paint): readonly string[] {
  return steps.flatMap(({ state, text, advice }) => {
    const [tone, mark] = MARKS[state];
    return [
      `${paint(tone, mark)}  ${short(text, 2_000)}`,
      ...(advice === undefined ? [] : [`      ${short(advice, 1_000)}`]),
    ];
  });
}

function head(subject: string, verdict: Verdict, summary: string, paint: Paint): readonly string[] {
  const word = { served: 'served', redirected: 'redirected', 'not-served': 'NOT SERVED' }[verdict];
  return [
    `${paint('strong', plain(subject))}  ${paint(verdict === 'not-served' ? 'bad' : 'good', word)}`,
    short(summary, 2_000),
    '',
  ];
}

export function urlLines(explanation: UrlExplanation, paint: Paint): readonly string[] {
  const { url, verdict, summary, steps, endpoints, findings } = explanation;
  const rows = endpoints
    .slice(0, 50)
    .map(({ address, port, node = '', task = '' }) => [`${address}:${port}`, node, shortId(task)]);
  return [
    ...head(url, verdict, summary, paint),
    ...stepLines(steps, paint),
    ...(rows.length === 0 ? [] : ['', ...table([['ENDPOINT', 'NODE', 'TASK'], ...rows], paint)]),
    ...(findings.length === 0 ? [] : ['', paint('strong', 'findings'), ...findingLines(findings, paint)]),
  ];
}

export function serviceLines(explanation: ServiceExplanation, paint: Paint): readonly string[] {
  const { service, verdict, summary, labels, misplaced, networks, steps, findings } = explanation;
  const rows = [
    ...Object.entries(labels).map(([label, value]) => [label, short(value, 80), 'service']),
    ...Object.entries(misplaced).map(([label, value]) => [label, short(value, 80), 'container: not read']),
  ];
  return [
    ...head(service, verdict, summary, paint),
    ...stepLines(steps, paint),
    '',
    `networks  ${networks.length === 0 ? 'none' : networks.map(plain).join(', ')}`,
    ...(rows.length === 0 ? [] : ['', ...table([['LABEL', 'VALUE', 'ON'], ...rows], paint)]),
    ...(findings.length === 0 ? [] : ['', paint('strong', 'findings'), ...findingLines(findings, paint)]),
  ];
}
