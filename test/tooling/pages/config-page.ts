/** `docs/config.md`: every key of config.toml. */
import { CORE_SCHEMA, EXTENSION_SCHEMA, GRPC_SCHEMA } from '../../../src/settings/core-schema.ts';
import { type KeyMeta, keyMetas } from '../../../src/settings/key-table.ts';
import { NGINX_SCHEMA } from '../../../src/settings/nginx-options.ts';
import { isWaiting, type TableName, WAITING_KEYS } from '../../../src/settings/waiting-keys.ts';
import { generatedFrom, markdownTable, type Page } from './page.ts';

export const configPage: Page = { path: 'docs/config.md', render };

const SOURCES = ['src/settings/core-schema.ts', 'src/settings/nginx-options.ts', 'src/settings/waiting-keys.ts'];

function render(): string {
  return `${generatedFrom(...SOURCES)}

# config.toml

Core reads one file in [TOML](https://toml.io), given with \`-c\` (default \`/config.toml\`). Files written for Docker Enterprise / MKE Interlock are read as they are.

\`\`\`toml
ListenAddr = ":8080"
DockerURL = "unix:///var/run/docker.sock"
PollInterval = "3s"

[Extensions.default]
ServiceName = "interlock-extension"
ProxyServiceName = "interlock-proxy"
ProxyReplicas = 2
ProxyStopSignal = "SIGQUIT"
ProxyStopGracePeriod = "5s"
ProxyConstraints = ["node.labels.nodetype==loadbalancer"]
PublishMode = "host"
PublishedPort = 80
PublishedSSLPort = 443

[Extensions.default.Config]
ClientMaxBodySize = "32m"
HTTPOptions = ["gzip on;"]
\`\`\`

## How it is read

- Keys may be written in any case. A key that does not exist is ignored, with the finding \`SETTINGS.KEY_UNKNOWN\` and the nearest name.
- A value of the wrong type, or one that cannot work, stops the start. All such problems are named at once, each with the key's path.
- An empty string counts as a missing key.
- A **duration** is text with units, as in Go: \`"3s"\`, \`"1m30s"\`, \`"500ms"\`, \`"2h"\`. A bare number is refused, since nobody can tell its unit.
- A **time** is NGINX's: \`"75s"\`, \`"1m 30s"\`; a bare number counts seconds. A **size** is NGINX's: \`"8k"\`, \`"32m"\`.
- Numbers and booleans may stand in quotes.
- The original's images (\`docker/ucp-interlock-*\`, \`mirantis/ucp-interlock-*\`, \`interlockpreview/*\`) are read as ours of the same role, and a constraint with
  a single \`=\` as one with \`==\`; a finding says so.
- † marks keys that are read and checked but have no effect in this version, or some value of which has none: the last table says which.
  Setting one gives the finding \`SETTINGS.NOT_IN_EFFECT\`.
- *ours* marks keys that the original does not have.

## Top level

${tableOf(CORE_SCHEMA, 'core')}

## \`[GRPC]\` †

${tableOf(GRPC_SCHEMA, undefined)}

## \`[Extensions.<name>]\`

One table per service cluster, at least one. No two may have the same \`ServiceCluster\`, service name or, in ingress mode, published port.

The \`<slug>\` in default service names is the table's name: as it is when it has at most 16 of \`a-z\`, \`0-9\` and inner \`-\`, else lower-cased, cut and with
4 digits of its hash. It is the same on every start. Renaming the table renames its services,
unless \`ServiceName\` and \`ProxyServiceName\` are written ([what becomes of them](operate.md#what-core-takes-for-its-own)).

${tableOf(EXTENSION_SCHEMA, 'extension')}

### \`[Extensions.<name>.Labels]\` and the like

\`Labels\`, \`ContainerLabels\`, \`ProxyLabels\` and \`ProxyContainerLabels\` are tables of strings; names of labels keep their case.

## \`[Extensions.<name>.Config]\` for NGINX

Values that reach NGINX's file are checked before; \`GlobalOptions\`, \`HTTPOptions\` and \`TCPOptions\` are your own lines, checked by NGINX itself.

${tableOf(NGINX_SCHEMA, 'nginx')}

## Keys without effect in this version

${markdownTable(
  ['Key', 'Where', 'Instead'],
  WAITING_KEYS.map(({ table, key, advice, values }) => [
    `\`${key}${values === undefined ? '' : ` = ${values.map((value) => JSON.stringify(value)).join(', ')}`}\``,
    PLACES[table],
    advice,
  ]),
)}
`;
}

const PLACES: Readonly<Record<TableName, string>> = {
  core: 'top level',
  extension: '`[Extensions.<name>]`',
  nginx: '`Config`',
};

function tableOf(schema: Parameters<typeof keyMetas>[0], table: TableName | undefined): string {
  return markdownTable(
    ['Key', 'Type', 'Default', 'Meaning'],
    keyMetas(schema).map(([name, meta]) => [
      nameCell(name, meta, table),
      meta.type,
      meta.shownDefault,
      meta.description,
    ]),
  );
}

function nameCell(name: string, meta: KeyMeta, table: TableName | undefined): string {
  const waiting = table !== undefined && isWaiting(table, name) ? ' †' : '';
  return `\`${name}\`${waiting}${meta.ours ? ' *ours*' : ''}`;
}
