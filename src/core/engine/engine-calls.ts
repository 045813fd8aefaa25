/**
 * Every call that core makes to the Docker API. The adapter can make no other: `engine-http.ts` takes its paths from this table, and so do
 * `docs/security.md` and the allow-list of `docker/socket-proxy/nginx.conf`.
 */

export interface EngineCall {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Without the API version before it. `{id}` is one segment: an id, or a name. */
  readonly path: string;
  /** For the person who decides whether core may. */
  readonly why: string;
}

export const ENGINE_CALLS = {
  version: { method: 'GET', path: '/version', why: 'Which API version both sides speak.' },
  info: {
    method: 'GET',
    path: '/info',
    why: "Whether this is a Swarm manager; the Swarm's own CA, to verify the task feed.",
  },
  events: { method: 'GET', path: '/events', why: 'To hear of changes. A stream that stays open.' },
  container: {
    method: 'GET',
    path: '/containers/{id}/json',
    why: "Core's own container, at its start: which service, stack and network it belongs to.",
  },
  nodes: { method: 'GET', path: '/nodes', why: 'Addresses and states of nodes.' },
  networks: { method: 'GET', path: '/networks', why: 'Networks of routed services.' },
  tasks: { method: 'GET', path: '/tasks', why: 'Endpoints: addresses and states of tasks.' },
  services: { method: 'GET', path: '/services', why: 'Labels to route by; the services that core made.' },
  service: { method: 'GET', path: '/services/{id}', why: "Core's own service, and those that it made." },
  createService: { method: 'POST', path: '/services/create', why: 'Makes extension and proxy services.' },
  updateService: { method: 'POST', path: '/services/{id}/update', why: 'Rolls them.' },
  removeService: {
    method: 'DELETE',
    path: '/services/{id}',
    why: 'Those that config.toml asks for no more; `interlock uninstall`.',
  },
  configs: { method: 'GET', path: '/configs', why: 'Proxy Configs and history that core stored.' },
  config: { method: 'GET', path: '/configs/{id}', why: 'Routes of a stored revision.' },
  createConfig: { method: 'POST', path: '/configs/create', why: 'Stores Proxy Configs and history.' },
  removeConfig: { method: 'DELETE', path: '/configs/{id}', why: 'Those that are superseded.' },
  secrets: {
    method: 'GET',
    path: '/secrets',
    why: 'Names, ids and labels of certificates and tokens. The Engine never shows what is in them.',
  },
  createSecret: { method: 'POST', path: '/secrets/create', why: "Makes the roles' tokens." },
  removeSecret: { method: 'DELETE', path: '/secrets/{id}', why: 'Tokens that were replaced.' },
} as const satisfies Record<string, EngineCall>;

/** What fits in one segment of a path as core writes it: never a slash, `..` or an escape. */
export const ID_PATTERN = '[A-Za-z0-9][A-Za-z0-9_.-]*';

/** A regular expression (PCRE and JavaScript) for the path of a call as it is sent, version and query included. */
export function pathPattern({ path }: EngineCall): string {
  return `^(?:/v1\\.[0-9]+)?${path.replace('{id}', ID_PATTERN)}(?:\\?|$)`;
}
