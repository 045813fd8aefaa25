/** An outer balancer as the production layout has it: HAProxy (Debian's) in HTTP mode before the proxies, on loopback. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runBed } from '../../support/bed.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/nginx.ts';

export interface OuterBalancer {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Tries another proxy when a connection cannot be made or ends without an answer. A proxy that is told to stop closes its listeners
 * first, so the check leaves it within a second and the retry covers that second.
 *
 * `http-reuse never`: connections to a proxy are not shared between clients. A connection that carried a long download through
 * reloads is still held by a worker of that long ago, for a second; another client's request on it would meet endpoints of then.
 */
function config(port: number, proxies: readonly string[]): string {
  const servers = proxies.map(
    (base, index) => `  server proxy${index} ${new URL(base).host} check inter 500ms fall 1 rise 1`,
  );
  return `global
  maxconn 1000
  nbthread 1
defaults
  mode http
  timeout connect 500ms
  timeout client 75s
  timeout server 75s
  timeout tunnel 1h
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response
  http-reuse never
frontend http
  bind 127.0.0.1:${port}
  default_backend proxies
backend proxies
  balance roundrobin
${servers.join('\n')}
`;
}

export async function startOuter(proxies: readonly string[]): Promise<OuterBalancer> {
  const binary = (await runBed('debian.sh', ['tool', 'haproxy'])).stdout.trim();
  const folder = await mkdtemp(join(tmpdir(), 'interlock-outer-'));
  const port = await freePort();
  const file = join(folder, 'haproxy.cfg');
  await writeFile(file, config(port, proxies));
  const child = spawn(binary, ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'inherit'] });
  const url = `http://127.0.0.1:${port}`;
  await eventually(async () => (await fetch(url)).status > 0, { timeoutMs: 10_000 });
  return {
    url,
    async stop() {
      await ended(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exit = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await exit;
  }
}
