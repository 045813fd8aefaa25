/** Anybody who may deploy a service writes labels. Whatever they write, the file says nothing that the renderer did not mean. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCheckCertificate } from '../../../src/extension/check-certificate.ts';
import { LABEL_NAMES, LABEL_PREFIX, type LabelName } from '../../../src/labels/label-table.ts';
import { modelsOf } from '../../../src/labels/models.ts';
import { parseLabels } from '../../../src/labels/parse-labels.ts';
import type { RoutingIntent } from '../../../src/model/intent.ts';
import type { Secret, Service, Snapshot } from '../../../src/model/snapshot.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { upstreamName } from '../../../src/render/nginx/upstreams.ts';
import { definitionOf } from '../../../src/settings/cluster-definition.ts';
import { DEFAULT_NGINX_OPTIONS } from '../../../src/settings/nginx-options.ts';
import { checkNginx } from '../../support/nginx.ts';
import { type ParsedNode, parseNginx, printParsed, walk } from '../../support/nginx-parse.ts';
import { extensionSettings } from '../../support/settings.ts';
import { ip, service, snapshot, task } from '../../support/snapshots.ts';

/** Every directive that a file of ours may hold for any labels, by the blocks around it. `map` and `geo` hold values, not directives. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  '': 'worker_processes worker_rlimit_nofile worker_shutdown_timeout pcre_jit pid error_log events http stream include user'.split(
    ' ',
  ),
  events: ['worker_connections'],
  http: (
    'default_type server_tokens log_format access_log client_body_temp_path proxy_temp_path fastcgi_temp_path uwsgi_temp_path ' +
    'scgi_temp_path sendfile tcp_nopush keepalive_timeout keepalive_min_timeout client_max_body_size client_body_buffer_size ' +
    'client_body_timeout client_header_buffer_size large_client_header_buffers underscores_in_headers send_timeout ' +
    'proxy_http_version proxy_connect_timeout proxy_send_timeout proxy_read_timeout proxy_next_upstream proxy_max_temp_file_size ' +
    'proxy_headers_hash_max_size proxy_headers_hash_bucket_size server_names_hash_max_size server_names_hash_bucket_size map geo ' +
    'proxy_set_header add_header proxy_hide_header proxy_pass_trailers upstream server ssl_protocols ssl_ciphers ' +
    'ssl_prefer_server_ciphers ssl_session_cache ssl_session_timeout variables_hash_max_size variables_hash_bucket_size ' +
    'map_hash_max_size map_hash_bucket_size proxy_request_buffering proxy_buffering proxy_buffer_size proxy_buffers proxy_ssl_server_name proxy_ssl_name ' +
    'proxy_ssl_protocols proxy_ssl_session_reuse proxy_socket_keepalive lingering_close'
  ).split(' '),
  'http upstream': 'server hash keepalive keepalive_timeout zone'.split(' '),
  'http server': (
    'listen server_name location ssl_certificate ssl_certificate_key ssl_reject_handshake http2 set_real_ip_from real_ip_header ' +
    'access_log default_type set return'
  ).split(' '),
  'http server location': (
    'proxy_pass return error_page add_header stub_status set if proxy_ssl_verify proxy_ssl_trusted_certificate proxy_ssl_name ' +
    'proxy_ssl_server_name proxy_ssl_verify_depth proxy_ssl_session_reuse proxy_set_header'
  ).split(' '),
  'http server location if': ['proxy_pass', 'return'],
  stream: (
    'log_format access_log ssl_preread proxy_connect_timeout proxy_timeout server_names_hash_max_size ' +
    'server_names_hash_bucket_size set_real_ip_from upstream server map map_hash_max_size map_hash_bucket_size'
  ).split(' '),
  'stream upstream': ['server', 'hash', 'zone'],
  'stream server': 'listen server_name proxy_pass proxy_protocol proxy_timeout access_log ssl_preread return'.split(
    ' ',
  ),
};

const SECRETS = ['victim-cert', 'victim-key', 'victim-ca', 'mine', 'mine.key'];
const secrets: readonly Secret[] = SECRETS.map((name) => ({ id: `id-${name}`, name, version: 1, labels: {} }));

/** Older than the hostile one, so theirs is the word where both want the same. */
const VICTIMS: readonly Service[] = [
  labelled('victim-plain', 'a', { hosts: 'plain.victim.test', port: '80' }),
  labelled('victim-tls', 'b', {
    hosts: 'tls.victim.test',
    port: '80',
    ssl_cert: 'victim-cert',
    ssl_key: 'victim-key',
    ssl_only: 'true',
  }),
  labelled('victim-path', 'c', {
    hosts: 'path.victim.test',
    port: '80',
    context_root: '/app',
    context_root_rewrite: 'true',
  }),
  labelled('victim-backend', 'd', {
    hosts: 'backend.victim.test',
    port: '443',
    ssl_backend: 'true',
    ssl_backend_tls_verify: 'required',
    ssl_backend_ca: 'victim-ca',
    sticky_session_cookie: 'sid',
  }),
];

function labelled(
  name: string,
  id: string,
  lb: Partial<Record<LabelName, string>>,
  createdAt = '2026-01-01T00:00:00Z',
): Service {
  const labels = Object.fromEntries(Object.entries(lb).map(([key, value]) => [LABEL_PREFIX + key, value]));
  return service({ id, name, labels, createdAt, ports: [] });
}

function swarmOf(services: readonly Service[]): Snapshot {
  const tasks = services.map(({ id }, index) =>
    task({
      id: `t-${id}`,
      serviceId: id,
      attachments: [{ networkId: 'net1', addresses: [ip(`10.0.1.${index + 3}`)] }],
    }),
  );
  return snapshot({ services, tasks, secrets });
}

const [DEFINITION] = [definitionOf(extensionSettings())];

interface Rendered {
  readonly text: string;
  readonly tree: readonly ParsedNode[];
  readonly intents: readonly RoutingIntent[];
}

function render(services: readonly Service[]): Rendered {
  const { built } = modelsOf(swarmOf(services), [DEFINITION]);
  const [model] = built.models;
  if (model === undefined) {
    throw new Error('no model');
  }
  const options = { ...DEFAULT_NGINX_OPTIONS, workerProcesses: 1 };
  const { artifact } = renderNginx(model, options, { serverInfo: 'interlock/test' });
  const text = artifact.files.map(({ bytes }) => Buffer.from(bytes).toString()).join('');
  const intents = services.flatMap((each) => {
    const outcome = parseLabels(each);
    return outcome.kind === 'intent' ? [outcome.intent] : [];
  });
  return { text, tree: parseNginx(text), intents };
}

/** What people try. */
const ATTACKS = [
  ';',
  '{',
  '}',
  '"',
  "'",
  '\\',
  '$',
  '#',
  '\n',
  '\r\n',
  '\0',
  '\t',
  ' ',
  '`',
  '\u2028',
  '\u00e9',
  '\u202e',
  '*',
  '%00',
  '%0a',
  '../',
  '; return 200 pwned;',
  '} server { listen 81; }',
  ';} location / { root /; }',
  '$request_body',
  '$\u007bhttp_x}',
  '$host',
  '@plain.victim.test',
  'include /etc/passwd;',
  '"; alias /;"',
  "';alias /;'",
  '\\";',
  '/run/secrets/victim-key',
  '../victim-key',
  'victim-cert',
  'victim-key',
  'plain.victim.test',
  'tls.victim.test',
  '_',
  '~.*',
  '~^(?<x>.*)$',
  '.victim.test',
  '*.victim.test',
  '*.test',
  'default_server',
  'unix:/run/interlock-status.sock',
  'unix:/run/interlock-tls.sock',
  '127.0.0.1',
  'x'.repeat(70),
  'x'.repeat(65_536),
  '/a'.repeat(3000),
];

/** What is fine by itself, so that what follows it is reached. */
const GOOD: Readonly<Record<LabelName, readonly string[]>> = {
  hosts: ['evil.test', 'evil.test,*.evil.test', 'b\u00fccher.test', 'EVIL.test'],
  port: ['80', '65535'],
  network: ['app'],
  service_cluster: [''],
  context_root: ['/app', '/a.b', '/x/y'],
  context_root_rewrite: ['true', 'false'],
  ssl_cert: ['mine', 'victim-cert'],
  ssl_key: ['mine.key', 'victim-key'],
  ssl_passthrough: ['true'],
  ssl_only: ['true'],
  ssl_backend: ['true'],
  ssl_backend_tls_verify: ['none', 'required'],
  ssl_backend_ca: ['mine', 'victim-ca'],
  websocket_endpoints: ['/ws', '/ws,/socket'],
  sticky_session_cookie: ['sid', 'a.b-c', 'x!#%&*+^|~'],
  ip_hash: ['true'],
  redirects: ['http://evil.test,https://evil.test', 'https://evil.test,http://plain.victim.test'],
  backend_mode: ['task', 'vip'],
  default_backend: ['true'],
  max_fails: ['0', '5'],
  fail_timeout: ['0s', '10s', '1m'],
  weight: ['1', '100'],
};

const attack = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...ATTACKS) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }) },
);

function labelValue(name: LabelName): fc.Arbitrary<string> {
  const good = fc.constantFrom(...GOOD[name]);
  return fc.oneof(
    { weight: 30, arbitrary: good },
    { weight: 2, arbitrary: fc.tuple(good, attack).map((parts) => parts.join('')) },
    { weight: 1, arbitrary: fc.tuple(good, attack).map((parts) => parts.join(',')) },
    { weight: 1, arbitrary: fc.tuple(attack, good).map((parts) => parts.join('')) },
    { weight: 1, arbitrary: fc.array(attack, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('')) },
  );
}

/** Some label names are not ours at all. */
const hostile: fc.Arbitrary<Service> = fc
  .tuple(
    fc.record(Object.fromEntries(LABEL_NAMES.map((name) => [name, labelValue(name)])), {
      requiredKeys: ['hosts', 'port'],
    }),
    fc.dictionary(attack, attack, { maxKeys: 2 }),
    attack,
  )
  .map(([lb, strange, name]) => {
    const given = labelled(`hostile${name.slice(0, 40)}`, 'z', lb, '2026-06-01T00:00:00Z');
    const more = Object.entries(strange).map(([key, value]) => [LABEL_PREFIX + key, value] as const);
    return { ...given, labels: { ...Object.fromEntries(more), ...given.labels } };
  });

function contextOf(parents: readonly ParsedNode[]): string {
  return parents.map(({ name }) => name).join(' ');
}

/** Names of what no block of that kind may hold. */
function unmeant(tree: readonly ParsedNode[]): readonly string[] {
  return [...walk(tree)].flatMap(({ node, parents }) => {
    const last = parents.at(-1)?.name;
    const fine = last === 'map' || last === 'geo' || ALLOWED[contextOf(parents)]?.includes(node.name) === true;
    return fine ? [] : [`${contextOf(parents)} > ${node.name} (line ${node.line})`];
  });
}

function upstreamsOf(tree: readonly ParsedNode[]): ReadonlySet<string> {
  return new Set([...walk(tree)].flatMap(({ node }) => (node.name === 'upstream' ? (node.args[0] ?? '') : [])));
}

function strayTargets(tree: readonly ParsedNode[]): readonly string[] {
  const known = upstreamsOf(tree);
  return [...walk(tree)].flatMap(({ node, parents }) => {
    const [target = ''] = node.name === 'proxy_pass' ? node.args : [];
    const name = /^(?:https?:\/\/)?([0-9a-f]{12}_[a-z0-9_]*)(?:\/|\$cut_target)?$/.exec(target)?.[1];
    const hop = parents[0]?.name === 'stream' && target === 'unix:/run/interlock-tls.sock';
    return node.name !== 'proxy_pass' || hop || (name !== undefined && known.has(name)) ? [] : [target];
  });
}

function strayNames({ tree, intents }: Rendered): readonly string[] {
  const known = new Set<string>(['_', ...intents.flatMap(({ hosts }) => hosts)]);
  return [...walk(tree)].flatMap(({ node }) =>
    node.name === 'server_name' ? node.args.filter((name) => !known.has(name)) : [],
  );
}

/** Directives that a context root is an argument of. */
const COMPARED: ReadonlySet<string> = new Set(['location', 'set']);

/** Secrets in a server or location whose every host belongs to a service that named that secret. */
function straySecrets({ tree, intents }: Rendered): readonly string[] {
  return [...walk(tree)].flatMap(({ node, parents }) => {
    // A context root may look like a secret's path; there it is what requests are compared with, and no file is read.
    const args = COMPARED.has(node.name) ? [] : node.args;
    const named = args.flatMap((arg) => /\/run\/secrets\/(.*)/s.exec(arg)?.[1] ?? []);
    const server = parents.findLast(({ name }) => name === 'server');
    const hosts = (server?.children ?? []).flatMap(({ name, args }) => (name === 'server_name' ? args : []));
    const location = parents.findLast(({ name }) => name === 'location')?.args[0] ?? '';
    const about = location.startsWith('@') ? [location.slice(1)] : hosts;
    return named.filter(
      (secret) => !about.every((host) => intents.some((intent) => namesSecret(intent, host, secret))),
    );
  });
}

function namesSecret(
  { hosts, defaultBackend, tls, upstreamTls }: RoutingIntent,
  host: string,
  secret: string,
): boolean {
  const own = [
    ...(tls.kind === 'terminate' ? [tls.certificate, tls.key] : []),
    ...(upstreamTls.kind === 'on' && upstreamTls.verify.kind === 'required' ? [upstreamTls.verify.ca] : []),
  ];
  return (host === '_' ? defaultBackend : hosts.some((name) => name === host)) && own.some((name) => name === secret);
}

/** All that the file says about one host: its upstreams, and in its servers what is for it. */
function partsOf(tree: readonly ParsedNode[], host: string, pool: string): readonly string[] {
  const upstream = [...walk(tree)].filter(
    ({ node }) => node.name === 'upstream' && node.args[0] === upstreamName(pool),
  );
  const servers = [...walk(tree)].filter(
    ({ node }) =>
      node.name === 'server' && node.children?.some(({ name, args }) => name === 'server_name' && args.includes(host)),
  );
  const isMine = ({ name, args }: ParsedNode) =>
    name === 'server_name'
      ? args.includes(host)
      : name === 'location' && args[0]?.startsWith('@') === true
        ? args[0] === `@${host}`
        : true;
  return [
    ...upstream.map(({ node }) => printParsed(node)),
    ...servers.flatMap(({ node }) => (node.children ?? []).filter(isMine).map(printParsed)),
  ];
}

describe('hostile labels', () => {
  it('are routed often enough for these tests to mean something', () => {
    const seen = fc.sample(hostile, 300).map((each) => render([...VICTIMS, each]));
    const share = (test: (text: string) => boolean) => seen.filter(({ text }) => test(text)).length / seen.length;
    expect(share((text) => text.includes('evil.test'))).toBeGreaterThan(0.25);
    expect(share((text) => text.includes('/run/secrets/mine'))).toBeGreaterThan(0.01);
    expect(share((text) => text.includes('stream {'))).toBeGreaterThan(0.01);
  });

  it('cannot make the file say what the renderer did not mean', () => {
    fc.assert(
      fc.property(hostile, (service) => {
        const rendered = render([...VICTIMS, service]);
        expect(rendered.text).toMatch(/^[\x20-\x7e\n]*\n$/);
        expect(unmeant(rendered.tree)).toEqual([]);
        expect(strayTargets(rendered.tree)).toEqual([]);
        expect(strayNames(rendered)).toEqual([]);
        expect(straySecrets(rendered)).toEqual([]);
      }),
      { numRuns: 400 },
    );
  });

  it('leave what the file says of other hosts as it is', () => {
    const alone = render(VICTIMS);
    fc.assert(
      fc.property(hostile, (service) => {
        const together = render([...VICTIMS, service]);
        const claimed = new Set<string>(
          together.intents.at(-1)?.service.id === 'z' ? together.intents.at(-1)?.hosts : [],
        );
        // With the first host that is passed through, the TLS port moves behind the hop: the same for everybody.
        const hop = together.tree.some(({ name }) => name === 'stream');
        const places = ({ length }: readonly string[], lines: readonly string[]) =>
          length >= 0 && hop
            ? lines.filter((line) => !/^\["(?:listen|set_real_ip_from|real_ip_header|access_log|proxy_)/.test(line))
            : lines;
        for (const [host, pool] of [
          ['plain.victim.test', 'plain.victim.test/'],
          ['tls.victim.test', 'tls.victim.test/'],
          ['path.victim.test', 'path.victim.test/app'],
          ['backend.victim.test', 'backend.victim.test/'],
        ] as const) {
          if (!claimed.has(host)) {
            const [before, after] = [partsOf(alone.tree, host, pool), partsOf(together.tree, host, pool)];
            const kept = new Set(places(after, after));
            expect(places(before, before).filter((line) => !kept.has(line))).toEqual([]);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('make a file that NGINX takes', async () => {
    const certificate = Buffer.from(createCheckCertificate());
    await fc.assert(
      fc.asyncProperty(fc.array(hostile, { minLength: 1, maxLength: 3 }), async (services) => {
        const several = services.map((each, index) => ({ ...each, id: `z${index}`, name: `${each.name}${index}` }));
        const { text } = render([...VICTIMS, ...several]);
        const local = text.replaceAll(/\/run\/secrets\/[^\s;"]+/g, '/etc/nginx/check.pem');
        const check = await checkNginx([
          { path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(local) },
          { path: '/etc/nginx/check.pem', mode: 0o444, bytes: certificate },
        ]);
        expect(check.output).not.toMatch(/\[(?:emerg|alert|crit|error)\]/);
        expect(check.ok).toBe(true);
      }),
      { numRuns: 40 },
    );
  }, 180_000);
});

describe('the parser of these tests', () => {
  it.each([
    ['a { b "c;d" e\\;f; # g }\n h; }', [['a'], ['b', 'c;d', 'e\\;f'], ['h']]],
    ["m '$x' $\u007by}z { }", [['m', '$x', '$\u007by}z']]],
  ])('reads %s as NGINX does', (text, nodes) => {
    expect([...walk(parseNginx(text))].map(({ node }) => [node.name, ...node.args])).toEqual(nodes);
  });

  it.each(['a', 'a {', 'a; }', '; a', 'a "b', 'a "b"c;'])('refuses %s', (text) => {
    expect(() => parseNginx(text)).toThrow(/^line 1: /);
  });

  it('sees an intruder', () => {
    expect(unmeant(parseNginx('http { server { root /; } } lua;'))).toEqual([
      'http server > root (line 1)',
      ' > lua (line 1)',
    ]);
    expect(strayTargets(parseNginx('http { server { location / { proxy_pass http://10.0.0.1; } } }'))).toEqual([
      'http://10.0.0.1',
    ]);
  });
});
