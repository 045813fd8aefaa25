/** `docs/codes.md`: every stable code that logs, findings and `status` use. */
import { FINDINGS } from '../../../src/model/finding.ts';
import { ERRORS } from '../../../src/runtime/errors.ts';
import { generatedFrom, markdownTable, type Page } from './page.ts';

export const codesPage: Page = { path: 'docs/codes.md', render };

function render(): string {
  const findings = Object.entries(FINDINGS).map(([code, { severity, harm }]) => [`\`${code}\``, severity, harm]);
  const errors = Object.entries(ERRORS).map(([code, entry]) => [`\`${code}\``, entry.class, entry.todo]);
  return `${generatedFrom('src/model/finding.ts', 'src/runtime/errors.ts')}

# Codes

Codes are stable: match them, not the sentences around them.

## Findings

A finding is a problem in someone's labels or settings. It harms what it names and nothing else; everything else goes on.

${markdownTable(['Code', 'Severity', 'What is lost'], findings)}

## Errors

An error is something outside that went wrong. *retryable*: it is tried again with growing pauses. *conflict*: the state is read and planned again.
*permanent*: it waits for new input, or ends the start.

${markdownTable(['Code', 'Class', 'What to do'], errors)}
`;
}
