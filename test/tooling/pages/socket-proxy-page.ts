/** `docker/socket-proxy/nginx.conf`: a filter before the Docker socket that lets through what core asks for, and nothing else. */
import { ENGINE_CALLS, type EngineCall, pathPattern } from '../../../src/core/engine/engine-calls.ts';
import type { Page } from './page.ts';

export const socketProxyPage: Page = { path: 'docker/socket-proxy/nginx.conf', render };

function render(): string {
  return `# Made by \`npm run generate\` from src/core/engine/engine-calls.ts. Edit that.
#
# NGINX before the Docker socket: the calls that core makes go through, all others get 403 and a line in the log.
# docs/howto/socket-proxy.md says how to put it there.
daemon off;
# One process. The Docker socket belongs to uid 0, which has no capability here: nothing can be given to another user.
master_process off;
user root;
pid /run/nginx.pid;
error_log stderr warn;

events {
  worker_connections 256;
}

http {
  map "$request_method $request_uri" $call {
    default "";
${Object.entries(ENGINE_CALLS).map(allowLine).join('\n')}
  }
  map $call $refused {
    default 0;
    "" 1;
  }

  log_format refused 'refused: $request_method $request_uri';
  access_log /dev/stdout refused if=$refused;
  server_tokens off;

  # The largest body is a Docker Config or a secret: 1,000 KiB in Base64.
  client_max_body_size 2m;
  client_body_buffer_size 2m;
  client_body_temp_path /run/body;
  proxy_temp_path /run/proxy;
  fastcgi_temp_path /run/fastcgi;
  uwsgi_temp_path /run/uwsgi;
  scgi_temp_path /run/scgi;
  # Events may be a long time apart, and must not wait in a buffer.
  proxy_buffering off;
  proxy_read_timeout 1d;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host docker;

  server {
    listen unix:/run/docker-filter/docker.sock;

    location = /healthz {
      access_log off;
      return 204;
    }

    location / {
      if ($refused) {
        return 403;
      }
      proxy_pass http://unix:/var/run/docker.sock:;
    }
  }
}
`;
}

function allowLine([name, call]: [string, EngineCall]): string {
  return `    "~^${call.method} ${pathPattern(call).slice(1)}" ${name};`;
}
