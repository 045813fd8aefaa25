/** `docs/labels.md`: every `com.docker.lb.*` label. */
import { LABEL_NAMES, LABEL_PREFIX, LABELS } from '../../../src/labels/label-table.ts';
import { FINDINGS } from '../../../src/model/finding.ts';
import { generatedFrom, markdownTable, type Page } from './page.ts';

export const labelsPage: Page = { path: 'docs/labels.md', render };

function render(): string {
  return `${generatedFrom('src/labels/label-table.ts')}

# Labels

Labels go on the **service** (in a stack file: under \`deploy.labels\`), not on its containers. Every name begins with \`${LABEL_PREFIX}\`, in lower case.
A service is routed when it has \`hosts\` or \`default_backend\`.

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

${labelTable()}

*ours*: not a label of the original Interlock. Labels outside \`${LABEL_PREFIX}\`, \`com.docker.ucp.*\` among them, are left alone.
`;
}

function labelTable(): string {
  return markdownTable(
    ['Label', 'Value', 'Default', 'Meaning', 'A value that cannot be used'],
    LABEL_NAMES.map((name) => {
      const { grammar, shownDefault, description, ours, refusal } = LABELS[name];
      const harm = `\`${refusal.code}\`: ${FINDINGS[refusal.code].harm}`;
      return [`\`${name}\`${ours ? ' *ours*' : ''}`, grammar, shownDefault, description, harm];
    }),
  );
}
