/** What no single label or key stands for, and where we answer otherwise than the original, or where it is silent. */
import { inFile, onSwarm, onSwarmLong, proven, type Row, throughNginx } from './proof.ts';

export const BEHAVIOUR_ROWS: Readonly<Record<string, Row>> = {
  'Unknown hosts and paths': proven(
    [
      onSwarm('routing/main-job', 'answers unknown hosts with 503'),
      throughNginx('nginx/traffic', 'answers unknown hosts with a page and without Retry-After'),
      throughNginx('nginx/traffic', 'sends a request for host %s, path %s to %s'),
    ],
    '503 for a host that nobody claimed (documents of the original say 404 and 503), 404 for a path that nobody claimed on a known host.',
  ),
  'A route without a task that runs': proven(
    [
      throughNginx(
        'nginx/traffic',
        'answers 503 with Retry-After where no task runs, on a plain host and on one path of a host',
      ),
      inFile('unit/model/design-answers', 'route with no usable endpoint stays'),
    ],
    'The route stays and answers 503 with `Retry-After: 5`.',
  ),
  'A request over TLS for a host without TLS': proven(
    [throughNginx('nginx/traffic-tls', 'over HTTP/2 too, and a browser that coalesces is sent back with 421')],
    '421 Misdirected Request.',
  ),
  'Headers towards the service': proven(
    [
      onSwarm('labels/secrets', 'is known by the address that it comes from, whatever it says'),
      throughNginx('nginx/traffic', 'tells the service who asked'),
      throughNginx('nginx/traffic-addresses', '%s are not believed'),
    ],
    '`X-Forwarded-Proto`, `-Host` and `-Port` are sent too, and what strangers claim in `X-Forwarded-*` is overwritten, not passed on.',
  ),
  'Headers towards the client': proven(
    [throughNginx('nginx/traffic', 'tells it on errors too, and gives no upstream where there was none')],
    'The five `x-` headers stand on errors too.',
  ),
  'HTTP towards the service': proven(
    [
      throughNginx('nginx/traffic', "leaves the service's own 503 alone: it is not retried"),
      throughNginx('nginx/traffic', 'costs no request: the next one answers'),
      throughNginx('nginx/traffic-streams', 'reaches the service while it is sent, and is kept nowhere: %s%s'),
    ],
    "HTTP/1.1 on kept connections, not HTTP/1.0. An application's 5xx is passed on and not tried again elsewhere; a connection that fails is. Bodies stream.",
  ),
  'HTTP/2 towards clients': proven(
    [throughNginx('nginx/traffic-tls', 'speaks HTTP/2, with bodies and many requests at once')],
    'By ALPN on the TLS port; the original offers HTTP/1.1.',
  ),
  'Labels on containers, unknown labels, typing errors': proven(
    [
      inFile(
        'unit/model/design-answers',
        'com.docker.lb.* on container labels: a finding says "move them under deploy"',
      ),
      inFile('unit/model/design-answers', 'misspelt as in the original how-to: did you mean'),
    ],
    'A finding in core’s log each, with what to write instead.',
  ),
  'Labels that are hostile': proven(
    [
      inFile('property/render/hostile', 'cannot make the file say what the renderer did not mean'),
      inFile('property/render/hostile', 'make a file that NGINX takes'),
    ],
    'No value of a label can add a directive; the original prints them as they are.',
  ),
  'What operators set by docker service update': proven(
    [
      onSwarmLong(
        'citizen',
        'what an operator set on a proxy service stays when config.toml changes elsewhere, and gives way where it changes there',
      ),
      onSwarmLong(
        'citizen',
        "an operator's updates of the proxy service and core's rolls of it, at the same time, are all in effect in the end",
      ),
      onSwarmLong('citizen', 'what a proxy cannot do without is put back; what an operator added beside it stays'),
      inFile('unit/core/publish/plan', 'keeps what an operator set by docker service update'),
    ],
    'Stays, unless config.toml changes the same setting. What a service cannot do without is put back.',
  ),
  'Extension and proxy containers': proven(
    [onSwarm('routing/main-job', 'gives the containers of %s nothing they do not need')],
    'Not root, no capability, read-only root. The gRPC API asks for a token.',
  ),
  'HAProxy in the place of NGINX': proven(
    [
      inFile(
        'unit/parity-gaps/haproxy-keys',
        'an extension with the image of the HAProxy preview starts: it stays the image that the file names',
      ),
    ],
    'There is no HAProxy extension. Its `Config` table is read as one for NGINX; its image speaks nothing that core understands, so that cluster is served nothing.',
  ),
  'Without an engine: interlock render and interlock snapshot': proven(
    [inFile('integration/bin/render', 'renders to the very bytes that the daemons deploy, and holds no environment')],
    'Ours: docs/render.md.',
  ),
};
