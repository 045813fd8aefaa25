/** Findings on the wire. */
import { FINDINGS, type Finding, type FindingCode, type FindingSeverity } from '../model/finding.ts';
import { at, malformed, type Place } from './door.ts';
import type { FindingMessage } from './messages.ts';

export function findingMessage(finding: Finding): FindingMessage {
  const { code, severity, service, serviceCluster, subject, value, advice } = finding;
  return {
    code,
    severity,
    advice,
    ...(service === undefined ? {} : { service }),
    ...(serviceCluster === undefined ? {} : { serviceCluster }),
    ...(subject === undefined ? {} : { subject }),
    ...(value === undefined ? {} : { value }),
  };
}

/** Longer texts are nobody's: a finding is kept, logged and printed, so whoever sends one must not fill core with it. */
const MAX_NAME = 512;
const MAX_ADVICE = 8_192;

/** A code that only a newer or a foreign sender knows stays readable: it becomes `RENDER.OTHER` with the code in its advice. */
export function findingOf(message: FindingMessage, where: Place): Finding {
  const { code, service, serviceCluster, subject, value, advice } = message;
  const known = isFindingCode(code);
  return {
    code: known ? code : 'RENDER.OTHER',
    severity: severityOf(message.severity, at(where, 'severity')),
    service: cut(service),
    serviceCluster: cut(serviceCluster),
    subject: cut(subject),
    value: cut(value),
    advice: (known ? advice : `${code.slice(0, MAX_NAME)}: ${advice}`).slice(0, MAX_ADVICE),
  };
}

function cut(text: string | undefined): string | undefined {
  return text?.slice(0, MAX_NAME);
}

function isFindingCode(code: string): code is FindingCode {
  return Object.hasOwn(FINDINGS, code);
}

function severityOf(text: string, where: Place): FindingSeverity {
  if (text !== 'info' && text !== 'warn' && text !== 'error') {
    throw malformed(where, 'is none of info, warn, error');
  }
  return text;
}
