/** `docs/labels.md`: every `com.docker.lb.*` label. */
import { LABEL_NAMES, LABEL_PREFIX, LABELS, type LabelName } from '../../../src/labels/label-table.ts';
import { NOT_IN_EFFECT } from '../../../src/labels/not-in-effect.ts';
import { FINDINGS } from '../../../src/model/finding.ts';
import { generatedFrom, markdownTable, type Page } from './page.ts';

export const labelsPage: Page = { path: 'docs/labels.md', render };

function render(): string {
  const inEffect = LABEL_NAMES.filter((name) => !NOT_IN_EFFECT.includes(name));
  return `${generatedFrom('src/labels/label-table.ts', 'src/labels/not-in-effect.ts')}

# Labels

Labels go on the **service** (in a stack file: under \`deploy.labels\`), not on its containers. Every name begins with \`${LABEL_PREFIX}\`, in lower case.
A service is routed when it has \`hosts\`${inEffect.includes('default_backend') ? ' or `default_backend`' : ''}.

\`\`\`yaml
services:
  demo:
    image: example/demo
    networks: [web]
    deploy:
      labels:
        com.docker.lb.hosts: demo.local
        com.docker.lb.port: "8080"
networks:
  web:
    driver: overlay
\`\`\`

Values are trimmed; an empty value counts as no label. A value that cannot be used becomes a [finding](codes.md) that names the service, the label,
the value and what to write instead. It never harms another service. The last column says what the service itself loses. Findings are lines of
core's log; in a stack called \`interlock\`:

\`\`\`sh
docker service logs --raw interlock_core 2>&1 | grep '"finding"'
\`\`\`

A finding is logged once when it comes up, once more as \`finding settled\` when its cause is gone, and anew after a restart of core.
Services that have the same host name share its requests, whether that is meant or not.

${tableOf(inEffect)}
${NOT_IN_EFFECT.length === 0 ? '' : waitingSection()}
*ours*: not a label of the original Interlock. Labels outside \`${LABEL_PREFIX}\`, \`com.docker.ucp.*\` among them, are left alone.
`;
}

function waitingSection(): string {
  return `
## Accepted, without effect in this version

These are read and checked. Their defaults hold until a later version acts on them; a \`LABEL.NOT_IN_EFFECT\` finding says so where one is set.

${tableOf(NOT_IN_EFFECT)}
`;
}

function tableOf(names: readonly LabelName[]): string {
  return markdownTable(
    ['Label', 'Value', 'Default', 'Meaning', 'A value that cannot be used'],
    names.map((name) => {
      const { grammar, shownDefault, description, ours, refusal } = LABELS[name];
      // A label that waits cannot cost the service.
      const code = NOT_IN_EFFECT.includes(name) ? 'LABEL.VALUE_INVALID' : refusal.code;
      const harm = `\`${code}\`: ${FINDINGS[code].harm}`;
      return [`\`${name}\`${ours ? ' *ours*' : ''}`, grammar, shownDefault, description, harm];
    }),
  );
}
