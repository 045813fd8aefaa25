/** The physical limit: how long a bare NGINX takes from SIGHUP to the first answer of the new generation. */
import { Agent, request } from 'undici';
import { freePort, startNginx } from '../support/nginx.ts';
import { percentile } from './stats.ts';

const RELOADS = 15;

/**
 * Median ms over 15 reloads of a rendered file on this machine. The file's own public ports are replaced by free ones, and its
 * unknown-host answer carries the generation, so that the first answer of the new one can be told.
 */
export async function bareReloadMs(file: string): Promise<number> {
  const ports = [await freePort(), await freePort()] as const;
  await using nginx = await startNginx(files(file, ports, 0));
  const agent = new Agent({ pipelining: 0 });
  const samples: number[] = [];
  for (let generation = 1; generation <= RELOADS; generation += 1) {
    const next = files(file, ports, generation);
    const startedAt = performance.now();
    await nginx.reload(next);
    while (!(await generationAnswers(agent, ports[0], generation))) {
      // ask again at once: the gap between two questions is the resolution
    }
    samples.push(performance.now() - startedAt);
  }
  await agent.close();
  return percentile(samples, 50);
}

const MARK = 'x-generation';

function files(file: string, [http, tls]: readonly [number, number], generation: number) {
  const text = file
    .replace(/(listen\s+(?:\[::\]:)?)80\b/g, `$1${http}`)
    .replace(/(listen\s+(?:\[::\]:)?)443\b/g, `$1${tls}`)
    .replace(/\nhttp \{/, `\nhttp {\n    add_header ${MARK} "g${generation}" always;`)
    .replace(/(default_server[^;]*;)/g, `$1\n        add_header ${MARK} "g${generation}" always;`);
  return [{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) }];
}

async function generationAnswers(agent: Agent, port: number, generation: number): Promise<boolean> {
  try {
    const { headers, body } = await request(`http://127.0.0.1:${port}/`, {
      dispatcher: agent,
      headers: { host: 'nobody.invalid', connection: 'close' },
    });
    await body.dump();
    return headers[MARK] === `g${generation}`;
  } catch {
    return false; // a kept connection closed by the old generation
  }
}
