/** config.toml from a file. */
import { readFileSync } from 'node:fs';
import { OperationalError, toError } from '../runtime/errors.ts';
import { formatProblems, parseCoreSettings } from '../settings/core-settings.ts';

/** @throws OperationalError SETTINGS.UNREADABLE, or SETTINGS.INVALID with every problem and every unknown key on a line of its own. */
export function readCoreSettings(path: string) {
  const parsed = parseCoreSettings(readText(path));
  if (!parsed.ok) {
    const unknown = parsed.findings.filter(({ code }) => code === 'SETTINGS.KEY_UNKNOWN');
    const lines = [
      formatProblems(parsed.problems),
      ...unknown.map(({ subject, advice }) => `${subject ?? ''}: ${advice}`),
    ];
    throw new OperationalError('SETTINGS.INVALID', `${path} cannot be used:\n${lines.join('\n')}`);
  }
  return parsed;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OperationalError('SETTINGS.UNREADABLE', `cannot read ${path}: ${toError(cause).message}`, { cause });
  }
}
