/** Remarks as lines for people, as JSON, and as annotations of a GitHub workflow. Pure. */
import { countOf, type Remark } from './remark.ts';

export interface Report {
  readonly files: readonly string[];
  /** Sorted. */
  readonly remarks: readonly Remark[];
}

const COLOURS = { error: '31', warn: '33', info: '36' } as const;

export function asText({ files, remarks }: Report, coloured: boolean): string {
  const paint = (code: string, text: string) => (coloured ? `\u001b[${code}m${text}\u001b[0m` : text);
  const lines = remarks.map((remark) => {
    const about = [
      remark.service,
      remark.subject,
      remark.value === undefined ? undefined : JSON.stringify(remark.value),
    ];
    const head = `${paint('1', placeOf(remark))}: ${paint(COLOURS[remark.severity], remark.severity)} ${remark.code}`;
    return `${[head, ...about.filter((part) => part !== undefined)].join(' ')}\n    ${remark.message}\n`;
  });
  const clean = files.filter((file) => !remarks.some((remark) => remark.file === file && remark.severity !== 'info'));
  return `${lines.join('')}${clean.map((file) => `${file}: ${paint('32', 'ok')}\n`).join('')}${summaryOf(remarks)}`;
}

function placeOf({ file, at }: Remark): string {
  return at === undefined ? file : `${file}:${at.line}:${at.column}`;
}

function summaryOf(remarks: readonly Remark[]): string {
  const errors = countOf(remarks, 'error');
  const warnings = countOf(remarks, 'warn');
  return errors + warnings === 0 ? '' : `${counted(errors, 'error')}, ${counted(warnings, 'warning')}\n`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

export function asJson({ files, remarks }: Report): string {
  const shown = remarks.map(({ at, ...remark }) => ({ ...remark, line: at?.line, column: at?.column }));
  const counts = { errors: countOf(remarks, 'error'), warnings: countOf(remarks, 'warn') };
  return `${JSON.stringify({ files, ...counts, remarks: shown }, null, 2)}\n`;
}

const LEVELS = { error: 'error', warn: 'warning', info: 'notice' } as const;

/** docs.github.com: Workflow commands for GitHub Actions, setting a message. */
export function asGithub({ remarks }: Report): string {
  const lines = remarks.map(({ file, at, severity, code, service, subject, message }) => {
    const place = at === undefined ? '' : `,line=${at.line},col=${at.column}`;
    const about = [service, subject].filter((part) => part !== undefined).join(' ');
    const text = about === '' ? message : `${about}: ${message}`;
    return `::${LEVELS[severity]} file=${property(file)}${place},title=${property(code)}::${data(text)}\n`;
  });
  return lines.join('');
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
