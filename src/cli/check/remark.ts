/** What `interlock check` has to say: one remark per place of a file. */
import { compareText } from '../../model/cluster.ts';
import type { FindingCode } from '../../model/finding.ts';
import type { ErrorCode } from '../../runtime/errors.ts';
import type { TextPosition } from '../../settings/problem.ts';

/** What only a file can have; `docs/howto/check.md` lists them. The rest are findings of core (`docs/codes.md`). */
export const CHECK_CODES = {
  'CHECK.UNREADABLE': 'the file cannot be read, or is none of its kind',
  'STACK.LABEL_MISPLACED': 'a label of ours stands where nothing reads it',
  'STACK.LABEL_TYPE': "a label's value is no text: `docker stack deploy` refuses the file",
  'STACK.NETWORK_UNDECLARED':
    'a service names a network that the file does not declare: `docker stack deploy` refuses it',
  'STACK.NO_LABELS': 'no service of the file is routed',
  'STACK.ROUTE_SHARED': 'several services answer one host and path, each for its share',
  'STACK.VARIABLE_INVALID': 'a `$` in a label begins no variable: `docker stack deploy` refuses the file',
  'STACK.VARIABLE_UNSET': 'a variable in a label has no value here',
} as const;

export type RemarkCode = FindingCode | Extract<ErrorCode, 'SETTINGS.INVALID'> | keyof typeof CHECK_CODES;

export interface Remark {
  readonly file: string;
  /** Missing: the file as a whole. */
  readonly at: TextPosition | undefined;
  readonly severity: 'error' | 'warn' | 'info';
  readonly code: RemarkCode;
  /** The service as the stack file calls it. */
  readonly service: string | undefined;
  /** The label's name, or the key's path in config.toml. */
  readonly subject: string | undefined;
  readonly value: string | undefined;
  readonly message: string;
}

/** By place within each file, files in the order given. */
export function sortRemarks(remarks: readonly Remark[], files: readonly string[]): readonly Remark[] {
  return [...remarks].sort(
    (a, b) =>
      files.indexOf(a.file) - files.indexOf(b.file) ||
      (a.at?.line ?? 0) - (b.at?.line ?? 0) ||
      (a.at?.column ?? 0) - (b.at?.column ?? 0) ||
      compareText(a.code, b.code),
  );
}

export function countOf(remarks: readonly Remark[], severity: Remark['severity']): number {
  return remarks.filter((remark) => remark.severity === severity).length;
}
