/** The reachable floor: the load on a hand-written NGINX file before two of the demo application, reloaded every two seconds. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../support/eventually.ts';
import { freePort, startNginx } from '../../support/nginx.ts';
import { type Counts, startLoad } from './load.ts';

const DEMO = fileURLToPath(new URL('../../../docker/demo/server.js', import.meta.url));
const RELOADS = 15;
const EVERY_MS = 2_000;

export async function measureFloor(): Promise<Counts> {
  const ports = [await freePort(), await freePort(), await freePort()] as const;
  const [listen, ...apps] = ports;
  const children = apps.map((port) => startDemo(port));
  try {
    await Promise.all(apps.map((port) => eventually(async () => (await fetch(`http://127.0.0.1:${port}`)).ok)));
    await using nginx = await startNginx(filesFor(listen, apps, 0));
    const load = startLoad({ bases: [`http://127.0.0.1:${listen}`], host: 'app.local', steadyHost: 'app.local' });
    for (let generation = 1; generation <= RELOADS; generation += 1) {
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      await nginx.reload(filesFor(listen, apps, generation));
    }
    return await load.stop();
  } finally {
    for (const child of children) {
      child.kill('SIGKILL');
    }
  }
}

function startDemo(port: number): ChildProcess {
  return spawn(process.execPath, [DEMO], { env: { ...process.env, PORT: String(port) }, stdio: 'ignore' });
}

function filesFor(listen: number, apps: readonly number[], generation: number) {
  const text = `worker_processes 2;
pid /run/nginx.pid;
error_log /dev/null;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path /var/cache/nginx/body;
  proxy_temp_path /var/cache/nginx/proxy;
  fastcgi_temp_path /var/cache/nginx/fastcgi;
  uwsgi_temp_path /var/cache/nginx/uwsgi;
  scgi_temp_path /var/cache/nginx/scgi;
  keepalive_min_timeout 1s;
  map $http_upgrade $connection_header { default upgrade; "" ""; }
  upstream app { ${apps.map((port) => `server 127.0.0.1:${port};`).join(' ')} keepalive 32; keepalive_timeout 4s; }
  server {
    listen 127.0.0.1:${listen};
    location / {
      add_header x-generation ${generation} always;
      proxy_http_version 1.1;
      proxy_set_header Connection $connection_header;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host $host;
      proxy_pass http://app;
    }
  }
}
`;
  return [{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) }];
}
