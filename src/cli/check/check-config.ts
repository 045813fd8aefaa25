/** config.toml to remarks: every problem and every finding at once, each with its line. Pure. */
import type { Finding } from '../../model/finding.ts';
import { type CoreSettings, parseCoreSettings } from '../../settings/core-settings.ts';
import { type KeyPositions, locateKeys, positionOf } from '../../settings/key-lines.ts';
import type { SettingsProblem } from '../../settings/problem.ts';
import type { Remark } from './remark.ts';

export interface CheckedConfig {
  /** `undefined`: core would not start with it. */
  readonly settings: CoreSettings | undefined;
  readonly remarks: readonly Remark[];
}

export function checkConfig(file: string, text: string): CheckedConfig {
  const outcome = parseCoreSettings(text);
  const positions = locateKeys(text);
  const problems = outcome.ok ? [] : outcome.problems;
  return {
    settings: outcome.ok ? outcome.settings : undefined,
    remarks: [
      ...problems.map((problem) => problemRemark(file, problem, positions)),
      ...outcome.findings.map((finding) => findingRemark(file, finding, positions)),
    ],
  };
}

function problemRemark(file: string, problem: SettingsProblem, positions: KeyPositions): Remark {
  const { path, found, expected, at = positionOf(positions, path) } = problem;
  const subject = path === '' ? undefined : path;
  const message = `Found ${found}, expected ${expected}.`;
  return {
    file,
    at,
    severity: 'error',
    code: 'SETTINGS.INVALID',
    service: undefined,
    subject,
    value: undefined,
    message,
  };
}

function findingRemark(file: string, finding: Finding, positions: KeyPositions): Remark {
  const { severity, code, subject, value, advice } = finding;
  const at = subject === undefined ? undefined : positionOf(positions, subject);
  // The key says it already where the key itself is what is wrong.
  const shown = code === 'SETTINGS.KEY_UNKNOWN' ? undefined : value;
  return { file, at, severity, code, service: undefined, subject, value: shown, message: advice };
}
