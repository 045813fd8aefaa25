/** What proves that a known fault of the original is not ours, or what is left of it. */
import type { FaultNumber } from './faults.ts';
import { inFile, onEngine, onSwarm, onSwarmLong, proven, type Row, throughNginx, unproven } from './proof.ts';

const ANSWERS = 'unit/model/design-answers';
const ONE_ROLL = onEngine(
  'e2e/publish/hitless',
  'new networks and secrets that come together are one roll; a secret in use cannot be removed',
);
const NO_NEW_TASK = onEngine(
  'e2e/publish/hitless',
  'a label change makes no new task; the config is stored after quiet',
);
const SAME_NGINX = throughNginx(
  'daemons/hitless',
  'serves each change of a label from the same NGINX, and goes on after core was away',
);

const MANY_NETWORKS = onSwarmLong(
  'citizen',
  '%i that come together are one roll; docker stack rm takes them within the linger time and a roll, and nobody else notices',
);
const STUCK_AND_GONE = onSwarmLong(
  'citizen',
  'no free host port, no matching node, a missing image and a silent registry are said within 30 s; what was made goes with its table',
);

const RENAMED = onSwarmLong(
  'outer',
  'a table that is given another name keeps its services, by one roll: no request fails, and the old name leaves nothing',
);

export const FAULT_ROWS: Readonly<Record<FaultNumber, Row>> = {
  1: proven([NO_NEW_TASK, SAME_NGINX], 'A change that needs no new network or secret touches no network at all.'),
  2: proven(
    [
      MANY_NETWORKS,
      ONE_ROLL,
      onSwarm(
        'operate/operate',
        'is what explain names until they are on it; meanwhile they answer 503, and nothing is sent anywhere else',
      ),
      throughNginx('daemons/hitless', 'answers 503 for a service on a network that the task is not on'),
    ],
    'All new networks that come together are one roll. How long Swarm takes to attach them is not ours; meanwhile the old tasks serve.',
  ),
  3: proven([
    NO_NEW_TASK,
    SAME_NGINX,
    throughNginx('agent/hitless', 'loses no request over a row of reloads, and ends with the newest'),
  ]),
  4: proven(
    [
      inFile('unit/settings/core-settings', 'fills in every default of a file with one empty extension'),
      inFile(
        'integration/core/publish-hitless',
        'several new networks and a secret are one roll, onto the newest artifact, shown as pending before',
      ),
    ],
    'On by default. A new secret or network still rolls the proxies, once for all that came together.',
  ),
  5: proven([
    throughNginx('agent/drain', 'lets a large download finish'),
    throughNginx('agent/hitless', 'finishes what is in flight when it is stopped during a reload'),
  ]),
  6: proven(
    [
      inFile('unit/core/serve/agents', 'is told the newest artifact at once, then each newer one, and equal ones once'),
      inFile('unit/core/serve/agents', 'shows what each proxy serves and refuses, while it lasts'),
    ],
    'With hitless delivery all proxies hear of a change at the same time, and core knows what each of them serves.',
  ),
  7: proven([
    onSwarm('watch/watch', 'takes an endpoint away before its container gets SIGTERM'),
    inFile('integration/daemons/main-job', 'finds a change whose event was lost'),
    inFile('unit/core/observe/observer', 'finds by the resync what no event told'),
  ]),
  8: proven([
    throughNginx('agent/hitless', 'starts with the mounted file when NGINX refuses the one of core'),
    throughNginx('agent/drain', 'keeps the old file when the new one is refused, and says why'),
  ]),
  9: proven([
    onSwarm('routing/main-job', 'writes nothing and rolls nothing when core is killed and comes back'),
    onSwarmLong('rest', 'sees no write in ten minutes'),
    inFile('unit/core/publish/plan', 'plans nothing when nothing changed'),
    inFile('unit/core/publish/plan', 'keeps what an operator set by docker service update'),
  ]),
  10: proven([
    inFile('property/render/nginx', 'is accepted by NGINX'),
    inFile('unit/labels/parse-labels', 'reads very long values, and complains about ten of their entries'),
  ]),
  11: proven([
    inFile(
      'integration/daemons/main-job',
      'does not try an artifact again that Swarm rolled back, until something changes',
    ),
    throughNginx('agent/hitless', 'keeps the old file when NGINX refuses the new one, and brings its words to core'),
    inFile('integration/extension/judge', 'names the line of %s that NGINX refuses, and leaves nobody out'),
  ]),
  12: proven([inFile('unit/settings/core-settings', 'fills in every default of a file with one empty extension')]),
  13: proven([inFile('unit/settings/nginx-options', 'refuses %s = %j and names the key', "['HTTPVersion', '3']")]),
  14: proven([
    inFile('golden/nginx', 'renders to the expected file, which NGINX accepts'),
    inFile('property/render/nginx', 'is accepted by NGINX'),
  ]),
  15: unproven(
    'Not dealt with by itself: write `node.platform.os==linux` into `Constraints` and `ProxyConstraints`, as the original’s default file has it.',
  ),
  16: proven([
    STUCK_AND_GONE,
    inFile(
      'integration/core/publish-rolls',
      'because of %s becomes a finding within 30 s, and goes with its cause',
      "'no free host port'",
    ),
    inFile('unit/settings/core-settings', 'name what two extensions both claim'),
  ]),
  17: proven([
    onSwarm('routing/main-job', 'lets a service that cannot be routed harm nobody, and says what is wrong with each'),
    inFile('property/render/hostile', 'leave what the file says of other hosts as it is'),
    inFile('unit/extension/judge', 'loses all of several offenders and nobody else'),
  ]),
  18: proven(
    [
      inFile(ANSWERS, '%j: the younger one gets a finding that names the label, whoever has it'),
      inFile(ANSWERS, 'equal age: the id decides'),
    ],
    'The oldest service of a pool decides; the others get a finding.',
  ),
  19: proven([
    onSwarmLong('howtos', 'context root, cut from the path, beside a service for the rest of the host'),
    throughNginx('nginx/traffic', 'takes the longest prefix on segment borders: %s to %s'),
  ]),
  20: proven([
    inFile(
      'unit/parity-gaps/passthrough-network',
      'without the network label it is routed over the first of them, never over ingress, and a finding names the choice',
    ),
  ]),
  21: proven([
    inFile(
      'unit/core/publish/plan',
      'attaches the control network and those of the model, and leaves what is not needed any more',
    ),
    inFile(ANSWERS, 'short stack names resolve through com.docker.stack.namespace'),
  ]),
  22: proven([
    onSwarm('labels/secrets', 'serves over TLS, and sends plain requests there, to the published port'),
    onSwarm('labels/secrets', 'refuses one that another CA has signed, and takes any where nothing is verified'),
    throughNginx('nginx/traffic-tls', 'Host %s goes to %s, method and URI as they were'),
    throughNginx('nginx/traffic-upstream-tls', 'names the requested host without port: %s'),
    throughNginx('nginx/traffic-upstream-tls', 'is refused with 502 at %s: %s'),
  ]),
  23: proven([
    throughNginx('nginx/traffic-redirects', 'for a host that is passed through leaves its TLS alone'),
    inFile(ANSWERS, 'for passthrough hosts too'),
  ]),
  24: proven(
    [
      onSwarmLong('howtos', 'a secret renewed under a new name is served'),
      inFile(
        'integration/core/publish-hitless',
        'a secret in use cannot be removed; made anew under its name it is exchanged by one roll',
      ),
    ],
    'A Docker secret cannot change, so a renewal is a new secret and one roll of the proxies.',
  ),
  25: proven(
    [
      onSwarm('labels/secrets', 'takes a certificate that the CA has signed'),
      throughNginx('nginx/traffic-upstream-tls', 'names the requested host without port: %s'),
      throughNginx('nginx/traffic-tls', 'offers TLS 1.2 and 1.3, HTTP/2 by ALPN and HTTP/1.1 without'),
    ],
    'TLS to the service and TLS 1.3. Certificates of clients are not asked for by a label; `HTTPOptions` can.',
  ),
  26: proven(
    [
      throughNginx('nginx/traffic-tls-edge', 'with a certificate takes every name and none (hop: %s)'),
      throughNginx('nginx/traffic-tls', '%s', 'for a client that names none'),
    ],
    'Without SNI a client reaches the default backend that has TLS. Where there is none its handshake is refused with an alert.',
  ),
  27: proven([
    throughNginx('nginx/traffic-tls', 'tells the service that it was https'),
    throughNginx('nginx/traffic', 'tells the service who asked'),
  ]),
  28: proven(
    [
      onSwarmLong(
        'howtos',
        'an application leaves with docker stack rm, its network and secrets too, once the proxies let go of them',
      ),
      MANY_NETWORKS,
      onEngine('e2e/publish/hitless', 'what nobody needs is left after NetworkLinger, and can be removed then'),
    ],
    'Not at once: with the next roll, or after `NetworkLinger`.',
  ),
  29: proven([
    STUCK_AND_GONE,
    inFile(
      'integration/core/publish-rolls',
      'dropped and renamed services and their configs go; foreign ones and those of another stack stay',
    ),
    inFile('integration/core/publish-rolls', 'goes with its table, and nothing of another such core does'),
    RENAMED,
  ]),
  30: proven([inFile('unit/core/publish/plan', 'brings changed settings to both services')]),
  31: unproven(
    'There is no UI: config.toml is a Docker Config or a file of the operator, and nothing of ours writes it.',
  ),
  32: proven(
    [
      inFile('unit/parity-gaps/extension-keys', 'reaches the spec of its service', "key: 'ProxyImage'"),
      inFile('property/wire/codec', 'carries a full model unchanged, its digest included'),
      inFile('unit/wire/codec', 'hold a full model'),
    ],
    'Images are keys of config.toml; messages of older versions stay readable. No upgrade between releases is tested: there is one version so far.',
  ),
  33: proven([
    inFile('unit/core/publish/plan', 'removes superseded configs beyond the newest ten, but none that is referred to'),
    inFile('integration/core/publish', 'does not let configs pile up while every roll fails'),
  ]),
  34: proven(
    [
      onSwarm('hitless/faults', 'delivers a file above what Swarm stores as it is, and stores it packed'),
      onEngine('e2e/publish/hitless', 'a file of %s is packed'),
      inFile(
        'integration/core/publish-hitless',
        'is refused with its size for those without one, and a smaller one goes through',
      ),
    ],
    'A file above the limit is packed; only a proxy image without our agent meets the limit.',
  ),
  35: proven([
    throughNginx('nginx/traffic-ejection', 'is left out by max_fails %s, and no request fails meanwhile'),
    throughNginx('nginx/traffic-ejection', 'keeps its share, with max_fails 1 too'),
  ]),
  36: proven(
    [throughNginx('nginx/traffic-balance', 'share by turns exactly')],
    "Weights only. Health is Swarm's own: a task whose HEALTHCHECK fails leaves the pool. No slow start, no least connections.",
  ),
  37: proven([throughNginx('nginx/traffic', 'tells the client how it was served, with a real duration')]),
  38: proven([throughNginx('nginx/traffic', 'keeps a well-formed X-Request-ID: %s')]),
  39: proven(
    [
      onSwarm('labels/secrets', 'is known by the address that it comes from, whatever it says'),
      throughNginx(
        'nginx/traffic-addresses',
        'from a trusted balancer tells the client, whose own headers are not believed',
      ),
      throughNginx('nginx/traffic-tls-edge', 'says who the client is, %s'),
      throughNginx('docs/outer-balancer', 'names the client over TLS, which ends at the proxies'),
    ],
    "Ingress mode is Swarm's and still hides them; host mode, `TrustedProxies` and `ProxyProtocol` keep them.",
  ),
  40: proven(
    [
      onSwarm('labels/clusters', 'serve their own services, each at its own proxies, on one port of different nodes'),
      inFile('unit/settings/core-settings', 'leave equal ports of host-mode proxies alone: their nodes may differ'),
    ],
    'In ingress mode that is so in Swarm. In host mode clusters on different nodes share port numbers.',
  ),
  41: proven(
    [
      throughNginx('nginx/traffic-status', 'no counters at %s, which has no such path'),
      throughNginx('nginx/traffic-status', "%s is the application's own"),
      throughNginx('nginx/traffic-addresses', 'is in the trace format with TraceLogging'),
      onSwarm(
        'routing/main-job',
        'tells what it does: metrics and readiness of all three on the control network alone',
      ),
    ],
    'No counters on the public ports: `/metrics` is on the control network. `TraceLogging` switches the trace log on.',
  ),
  42: proven([inFile('integration/daemons/debug-log', 'stays short, however many tasks there are')]),
  43: unproven(
    'A matter of documents: docs/labels.md and docs/config.md are generated from the tables that the code reads; docs/howto covers host mode.',
  ),
  44: unproven(
    'Not ours to give: Interlock routes over the networks of the applications, each with its own addresses. Host-mode proxies take no VIP.',
  ),
};
