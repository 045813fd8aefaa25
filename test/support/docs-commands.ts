/**
 * Every block of commands on a page, and the test that runs it. `test/unit/docs/commands.test.ts` holds this table against the pages: a
 * block without a row fails, and a row without a block. A test file runs its rows with `docsRunner`, which takes the text from the page.
 */
const DOCS = 'test/full/docs-pages.test.ts';
const UP = 'test/e2e/up/up.test.ts';
const MAIN = 'test/e2e/routing/main-job.test.ts';
const OPERATE = 'test/e2e/operate/operate.test.ts';
const REVISIONS = 'test/e2e/operate/revisions.test.ts';
const SECURITY = 'test/e2e/security/security.test.ts';
const TESTBED = 'test/full/docs-testbed.test.ts';

export interface RunRow {
  /** The test file that runs the block. */
  readonly by: string;
  /** Text of the block, and what the test writes in its place; `{name}` is a value that it knows when it runs. */
  readonly replace?: Readonly<Record<string, string>>;
  /** Commands that end with another exit code than 0, and with which. */
  readonly exits?: Readonly<Record<string, number>>;
}

export interface UnrunRow {
  /** Why no test can run it, and what is nearest to a proof. */
  readonly unrun: string;
}

export type Row = RunRow | UnrunRow;

/** A page, the first command of each of its blocks, and what becomes of the block. */
export const COMMANDS: Readonly<Record<string, Readonly<Record<string, Row>>>> = {
  'README.md': {
    'npm run up': { by: UP },
    'npm test': { unrun: 'It is what runs this.' },
    "curl -H 'Host: demo.local' http://127.0.0.1:8080/": { by: UP, replace: { '127.0.0.1:8080': '127.0.0.1:{port}' } },
    'npm run images': { by: DOCS, replace: { 'registry.example.com': '{registry}' } },
  },
  'CONTRIBUTING.md': {
    'npm test': { unrun: 'It is what runs this; the others are its long list, the static checks of CI and a part.' },
  },
  'docs/quick-start.md': {
    'npm run up': { by: UP, replace: { 'npm run up': 'npm run up -- --private --port {port}' } },
    "curl -H 'Host: demo.local' http://127.0.0.1:8080/": { by: UP, replace: { '127.0.0.1:8080': '127.0.0.1:{port}' } },
    'docker network create --driver overlay front': { by: UP },
    "curl -sSf --retry 30 --retry-delay 1 --retry-all-errors -H 'Host: hello.local' http://127.0.0.1:8080/": {
      by: UP,
      replace: { '127.0.0.1:8080': '127.0.0.1:{port}' },
    },
    'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=hello.local': { by: UP },
    'docker/bed/swarm.sh net-exec dev 1 curl -sSf --retry 30 --retry-delay 1 --retry-all-errors --cacert hello.crt': {
      by: UP,
    },
    'core=$(docker ps -qf name=interlock_core)': { by: UP },
    'docker service rm hello': { by: UP },
  },
  'docs/operate.md': {
    'core=$(docker ps -qf name=interlock_core)': { by: OPERATE },
    'docker exec $core interlock status': { by: OPERATE },
    'docker exec $core interlock routes': { by: OPERATE },
    'docker exec $core interlock explain http://shop.test:8080/cart': { by: OPERATE },
    'docker exec $core interlock explain http://shap.test:8080/': {
      by: OPERATE,
      exits: { 'docker exec $core interlock explain http://shap.test:8080/': 1 },
    },
    'docker exec $core interlock explain --service puzzle': {
      by: OPERATE,
      exits: { 'docker exec $core interlock explain --service puzzle': 1 },
    },
    'docker exec $core interlock doctor': { by: OPERATE },
  },
  'docs/howto/rollback.md': {
    'core=$(docker ps -qf name=interlock_core)': {
      by: REVISIONS,
      exits: { 'docker exec $core interlock diff previous live': 1 },
    },
    'docker exec $core interlock diff served live': {
      by: REVISIONS,
      exits: { 'docker exec $core interlock diff served live': 1 },
    },
  },
  'docs/security.md': {
    'core=$(docker ps -qf name=interlock_core)': { by: REVISIONS },
  },
  'docs/howto/monitoring.md': {
    'docker config create prometheus.yml docker/monitoring/prometheus.yml': {
      by: MAIN,
      replace: { 'prom/prometheus': '--no-resolve-image --quiet interlock/demo:dev' },
    },
  },
  'docs/howto/socket-proxy.md': {
    'sed \'s#^DockerURL = .*#DockerURL = "unix:///run/docker-filter/docker.sock"#\' docker/config.toml > docker/socket-proxy/config.toml':
      { by: SECURITY },
    'export INTERLOCK_CORE_IMAGE=registry.example.com/interlock/core:0.1.0': {
      by: DOCS,
      replace: { 'registry.example.com': '{registry}' },
    },
    'docker service logs interlock_docker-filter': { by: SECURITY },
  },
  'docs/howto/uninstall.md': {
    'docker stack rm interlock': { by: MAIN },
    'docker service rm interlock_core': { by: DOCS, replace: { 'interlock/core:0.1.0': 'interlock/core:dev' } },
  },
  'docs/howto/README.md': {
    'docker/bed/swarm.sh net-exec dev 1 curl --resolve app.example.org:8443:127.0.0.1 https://app.example.org:8443/': {
      by: UP,
      replace: { 'app.example.org': 'hello.local', 'curl --resolve': 'curl --cacert hello.crt --resolve' },
    },
  },
  'docs/howto/production.md': {
    'docker node update --label-add lb=true lb1': {
      by: DOCS,
      replace: { 'true lb1': 'true n1', 'true lb2': 'true n2' },
    },
    'docker login registry.example.com': { by: DOCS, replace: { 'registry.example.com': '{registry}' } },
  },
  'docs/migration.md': {
    "name=$(docker service inspect --format '{{ (index .Spec.TaskTemplate.ContainerSpec.Configs 0).ConfigName }}' ucp-interlock)":
      { by: DOCS },
    'interlock check config.toml docker-stack.yml': { by: DOCS },
    'interlock snapshot --out state': { by: DOCS },
    'export INTERLOCK_CORE_IMAGE=registry.example.com/interlock/core:0.1.0': {
      by: DOCS,
      replace: { 'registry.example.com': '{registry}' },
    },
    "curl -H 'Host: shop.example.com' http://10.0.0.11:8080/": { by: DOCS, replace: { '10.0.0.11': '{node}' } },
    'docker service rm ucp-interlock ucp-interlock-extension ucp-interlock-proxy': { by: DOCS },
  },
  'docs/upgrade.md': {
    'export INTERLOCK_CORE_IMAGE=registry.example.com/interlock/core:0.2.0': {
      by: DOCS,
      replace: { 'registry.example.com': '{registry}' },
    },
    'docker service update --update-failure-action rollback --config-rm OLD --config-add source=NEW,target=/config.toml interlock_core':
      {
        by: DOCS,
        replace: { OLD: '{old}', NEW: '{new}' },
      },
  },
  'docs/labels.md': {
    'docker service logs --raw interlock_core 2>&1 | grep \'"finding"\'': { by: DOCS },
  },
  'docs/troubleshooting.md': {
    'core=$(docker ps -qf name=interlock_core)': { by: DOCS },
    'docker exec $core interlock snapshot --out /dev/shm/state': { by: DOCS },
  },
  'docs/render.md': {
    'interlock snapshot --out state': { by: DOCS },
    'core=$(docker ps -qf name=interlock_core)': { by: DOCS },
  },
  'docs/howto/check.md': {
    'interlock check config.toml docker-stack.yml': {
      by: DOCS,
      exits: { 'interlock check config.toml docker-stack.yml': 1 },
    },
    'docker run --rm -v "$PWD:/work:ro" -w /work interlock/core:0.1.0 check --strict config.toml docker-stack.yml': {
      by: DOCS,
      replace: { 'interlock/core:0.1.0': 'interlock/core:dev' },
    },
  },
  'docs/howto/canary.md': {
    'docker service scale canary_v2=4': { by: DOCS },
  },
  'docs/howto/redirects.md': {
    "curl -si -H 'Host: old.local' http://NODE/a?b | grep -i location": { by: DOCS, replace: { NODE: '{node}' } },
  },
  'docs/howto/tls.md': {
    'docker stack deploy -c tls.yml tls': { by: DOCS, replace: { NODE: '{node}' } },
    'openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=app.example.org -addext subjectAltName=DNS:app.example.org':
      { by: DOCS },
    'cat chain.pem key.pem | docker secret create app-2027 -': { by: DOCS },
  },
  'docs/testbed.md': {
    'docker/bed/swarm.sh up --name demo --nodes 3 --fast-heartbeat': { by: TESTBED },
    'socket=$(docker/bed/builder.sh up)': { by: TESTBED },
  },
};

/** What becomes of a block; undefined when the table does not have it. */
export function rowOf(page: string, block: string): Row | undefined {
  return COMMANDS[page]?.[block];
}
