/** What proves each label. */
import type { LabelName } from '../../src/labels/label-table.ts';
import { inFile, onSwarm, onSwarmLong, proven, type Row, throughNginx } from './proof.ts';

const ANSWERS = 'unit/model/design-answers';
const howto = (title: string) => onSwarmLong('howtos', title);
const answer = (title: string) => inFile(ANSWERS, title);

export const LABEL_ROWS: Readonly<Record<LabelName, Row>> = {
  hosts: proven(
    [
      onSwarm('routing/main-job', 'reaches a labelled service through every proxy'),
      onSwarm('routing/main-job', 'follows a changed label'),
      throughNginx('nginx/traffic', 'sends a request for host %s, path %s to %s'),
      inFile('unit/labels/parse-labels', 'trims, lower-cases, sorts and counts hosts once'),
      answer('hosts are compared in lower case and as punycode'),
      answer('wildcard host: *.example.com beside an exact one, each its own'),
    ],
    'Wildcards, upper case and IDN are defined, for TLS too. Services that share a host and have different context roots live side by side.',
  ),
  port: proven(
    [
      onSwarm('routing/main-job', 'reaches a labelled service through every proxy'),
      answer('the only published target port if there is exactly one'),
      answer('else finding LABEL.PORT_MISSING: %j'),
    ],
    'Without the label the only published target port is taken.',
  ),
  network: proven(
    [
      howto('host mode: node address and published port, with and without an overlay'),
      howto('TLS passed through by SNI, beside the one that ends here'),
      answer('short stack names resolve through com.docker.stack.namespace'),
      answer('first by name, with a finding that names the choice'),
    ],
    'A name without its stack prefix works too. Several networks and no label: one is chosen, with a finding that names it.',
  ),
  service_cluster: proven(
    [
      onSwarm('labels/clusters', 'serve their own services, each at its own proxies, on one port of different nodes'),
      inFile(
        'unit/parity-gaps/service-clusters',
        'a service is routed by the extension whose ServiceCluster its label names, and by no other',
      ),
      answer('unknown service_cluster: not routed, finding'),
    ],
    'An unknown name is a finding; the service is not routed.',
  ),
  context_root: proven(
    [
      howto('context root, cut from the path, beside a service for the rest of the host'),
      throughNginx('nginx/traffic', 'takes the longest prefix on segment borders: %s to %s'),
      answer(
        'one pool per host and path: context roots live side by side, each with its own pool, options and rewrite',
      ),
    ],
    'Any number of paths on one host, each with its own service, beside one for `/`. `/app` does not match `/apple`.',
  ),
  context_root_rewrite: proven(
    [
      howto('context root, cut from the path, beside a service for the rest of the host'),
      throughNginx('nginx/traffic-rewrite', '%s arrives as %s'),
      throughNginx('nginx/traffic-rewrite', 'is a WebSocket, with the Origin as it was sent: %s'),
    ],
    'No redirect that adds a slash: `/app` arrives as `/`, encoding and query string as they were sent.',
  ),
  ssl_cert: proven(
    [
      howto('TLS ended at the proxy, from the secrets of a stack'),
      howto('a secret renewed under a new name is served'),
      onSwarm('labels/secrets', 'costs its host TLS alone, is a finding, and is served as soon as it is made'),
      throughNginx('nginx/traffic-tls', 'shows its certificate: %s'),
      throughNginx('agent/secrets', 'costs that host TLS, and nobody anything'),
    ],
    'HTTP/2 and TLS 1.3. A secret that is missing or unusable costs its host TLS, with a finding, and nobody else anything. In a stack the name may stand without the stack prefix.',
  ),
  ssl_key: proven(
    [
      howto('TLS ended at the proxy, from the secrets of a stack'),
      howto('a secret renewed under a new name is served'),
      throughNginx('agent/secrets', 'is the one of NGINX'),
    ],
    'Left out, the key is looked for in `ssl_cert`.',
  ),
  ssl_only: proven(
    [
      onSwarm('labels/secrets', 'serves over TLS, and sends plain requests there, to the published port'),
      throughNginx('nginx/traffic-tls', 'Host %s goes to %s, method and URI as they were'),
      answer('ssl_only stays: plain HTTP is not served instead'),
    ],
    'Works; the original never acted on it. 308 to https.',
  ),
  ssl_passthrough: proven(
    [
      howto('TLS passed through by SNI, beside the one that ends here'),
      throughNginx('nginx/traffic-tls-passthrough', '%s is answered by %s'),
      throughNginx('nginx/traffic-tls-passthrough', 'refuses %s'),
    ],
    'Redirects from plain HTTP work for these hosts too; a client whose name nobody claimed gets no handshake.',
  ),
  ssl_backend: proven(
    [
      onSwarm('labels/secrets', 'takes a certificate that the CA has signed'),
      throughNginx('nginx/traffic-upstream-tls', 'names the requested host without port: %s'),
      throughNginx('nginx/traffic-upstream-tls', 'carries WebSockets: %s'),
    ],
    'Works; the original never delivered it.',
  ),
  ssl_backend_tls_verify: proven(
    [
      onSwarm('labels/secrets', 'refuses one that another CA has signed, and takes any where nothing is verified'),
      throughNginx('nginx/traffic-upstream-tls', 'is refused with 502 at %s: %s'),
      answer('none is the default'),
    ],
    'Works; the original never delivered it. `none` or `required`.',
  ),
  ssl_backend_ca: proven(
    [
      onSwarm('labels/secrets', 'takes a certificate that the CA has signed'),
      onSwarm('labels/secrets', 'refuses one that another CA has signed, and takes any where nothing is verified'),
      throughNginx('nginx/traffic-upstream-tls', 'is refused with 502 at %s: %s'),
      answer('CA from secret ssl_backend_ca, attached to the proxy'),
      answer('a CA that is missing fails closed: no endpoint, finding'),
    ],
    'A label of ours: the CA that `ssl_backend_tls_verify=required` asks.',
  ),
  websocket_endpoints: proven(
    [
      howto('WebSockets'),
      throughNginx('nginx/traffic', 'is the WebSocket handshake and every byte after it: %s'),
      answer('websocket_endpoints accepted'),
    ],
    'The upgrade works on every route, with or without the label, below context roots too; `Origin` stays as the client sent it.',
  ),
  sticky_session_cookie: proven(
    [
      howto('sessions: one replica for one cookie, all replicas for clients without it'),
      throughNginx('nginx/traffic-balance', 'spreads clients with %s'),
      throughNginx('nginx/traffic-balance', 'moves about 1/n of the cookies, all of them to the new one'),
    ],
    'Clients without the cookie are spread; the original sent all of them to one task. Any cookie name works.',
  ),
  ip_hash: proven(
    [
      howto('sessions by client address'),
      throughNginx(
        'nginx/traffic-balance',
        'keeps a client on its server, by its whole address, IPv4 or IPv6, as a trusted balancer tells it',
      ),
    ],
    'A consistent hash over the whole address: a new replica moves few clients. With a sticky cookie the cookie wins, with a finding.',
  ),
  redirects: proven(
    [
      howto('redirects from one host to another'),
      throughNginx('nginx/traffic-redirects', 'from http://%s goes to %s, with the URI as it was'),
      throughNginx('nginx/traffic-redirects', 'for a host that is passed through leaves its TLS alone'),
      answer('a loop over several services and hosts: finding each, none is made, what leads into it stays'),
    ],
    'Passed-through hosts are redirected too. A loop is a finding and is not made. Only the source must be in `hosts`.',
  ),
  backend_mode: proven(
    [
      howto('VIP mode: one address whatever is scaled, and no new configuration (routing mesh emulated)'),
      answer('no new configuration on scale, image or environment change, or when tasks move'),
    ],
    'WebSockets and canary by service work in `vip` mode; what cannot work there is a finding.',
  ),
  default_backend: proven(
    [
      howto('a default backend answers hosts that nobody claimed, and only those'),
      throughNginx('nginx/traffic', 'answers hosts that nobody claimed; known ones stay'),
      throughNginx('nginx/traffic-tls-edge', 'with a certificate takes every name and none (hop: %s)'),
      answer('two of them: oldest wins, finding'),
    ],
    'Two of them: the oldest service, and a finding for the other.',
  ),
  max_fails: proven(
    [
      throughNginx('nginx/traffic-ejection', 'is left out by max_fails %s, and no request fails meanwhile'),
      throughNginx('nginx/traffic-ejection', 'keeps its share, with max_fails 1 too'),
      answer('max_fails, fail_timeout: per service; default 3 / 10s'),
    ],
    'Default 3, and only broken connections count: an application that answers 500 is never taken out for it.',
  ),
  fail_timeout: proven([
    answer('max_fails, fail_timeout: per service; default 3 / 10s'),
    throughNginx('nginx/traffic-ejection', 'is left out by max_fails %s, and no request fails meanwhile'),
  ]),
  weight: proven(
    [
      onSwarm('labels/clusters', 'shares requests between services of one host, and follows the label'),
      throughNginx('nginx/traffic-balance', 'share by turns exactly'),
      throughNginx('nginx/traffic-balance', 'share the cookies too'),
      answer('times weight, which is each service its own and no option that differs'),
    ],
    'A label of ours: shifts shares between services that have the same host and path.',
  ),
};
