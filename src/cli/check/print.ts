/** Remarks as lines for people, as JSON, and as annotations of a GitHub workflow. Pure. */
import { jsonText, type Paint, plain } from '../show/text.ts';
import { countOf, type Remark } from './remark.ts';

export interface Report {
  readonly files: readonly string[];
  /** Sorted. */
  readonly remarks: readonly Remark[];
}

const TONES = { error: 'bad', warn: 'warn', info: 'dim' } as const;

/** Files hold anybody's text: nothing of it speaks to the terminal. */
export function asText({ files, remarks }: Report, paint: Paint): string {
  const lines = remarks.map((remark) => {
    const { severity, service, subject, value } = remark;
    const about = [service, subject, value === undefined ? undefined : JSON.stringify(value)];
    const head = `${paint('strong', plain(placeOf(remark)))}: ${paint(TONES[severity], severity)} ${remark.code}`;
    const said = about.flatMap((part) => (part === undefined ? [] : [plain(part)]));
    return `${[head, ...said].join(' ')}\n    ${plain(remark.message)}\n`;
  });
  const clean = files.filter((file) => !remarks.some((remark) => remark.file === file && remark.severity !== 'info'));
  return `${lines.join('')}${clean.map((file) => `${plain(file)}: ${paint('good', 'ok')}\n`).join('')}${summaryOf(remarks)}`;
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
  return jsonText({ files, ...counts, remarks: shown });
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
