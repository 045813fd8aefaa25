/** What a real NGINX cannot reach, heard by its agent and told to a core that is only its wire. */
import { connect, createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AgentWord } from '../../../src/wire/contract.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/nginx.ts';
import { createFakeCore, createWireBench, type WireBench } from '../../support/wire.ts';
import { type AgentProcess, startAgentProcess } from './agent-process.ts';

/** Where nobody listens: no free port of ours is as low. */
const CLOSED = 9;

let bench: WireBench;
let corePort: number;
let port: number;
let resetting: Server;
let words: AgentWord[];

beforeEach(async () => {
  bench = createWireBench();
  port = await freePort();
  words = [];
  resetting = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => socket.resetAndDestroy());
  });
  await new Promise<void>((resolve) => resetting.listen(0, '127.0.0.1', resolve));
  const core = createFakeCore({
    async *agentSession(_caller, _hello, heard, signal) {
      yield { kind: 'none' };
      for await (const word of heard) {
        signal.throwIfAborted();
        words.push(word);
      }
    },
  });
  ({ port: corePort } = await bench.serve(core.handlers));
});
afterEach(async () => {
  resetting.close();
  await bench.close();
});

const resettingPort = (): number => (resetting.address() as { readonly port: number }).port;
const unreached = () =>
  words.flatMap((word) => ('unreached' in word ? word.unreached.map((to) => `${to.address}:${to.port}`) : []));

function file(): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'scgi', 'uwsgi'].map(
    (name) => `${name}_temp_path /var/cache/nginx/${name};`,
  );
  return `worker_processes 2;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid /run/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  keepalive_min_timeout 1s;
  ${temp.join('\n  ')}
  upstream gone { server 127.0.0.3:${CLOSED} max_fails=0; server 127.0.0.2:${CLOSED} max_fails=0; }
  server {
    listen 127.0.0.1:${port};
    location / { return 200 ok; }
    location /gone { proxy_pass http://gone; }
    location /resets { proxy_pass http://127.0.0.1:${resettingPort()}; }
    location /tls { proxy_pass https://127.0.0.1:${resettingPort()}; }
  }
}
`;
}

async function startAgent(): Promise<AgentProcess> {
  const agent = await startAgentProcess({
    mounted: file(),
    env: {
      INTERLOCK_ENDPOINT: `127.0.0.1:${corePort}`,
      INTERLOCK_EXTENSION: 'default',
      INTERLOCK_TASK_ID: 'task1',
      INTERLOCK_NODE_ID: 'node1',
    },
  });
  await agent.master();
  return agent;
}

/** Bytes as they are, because a client of ours would not send them. */
function send(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.once('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    socket.once('error', reject);
  });
}

const get = (path: string, more = '', host = 'a.local') =>
  send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${more}\r\n`);

describe('what NGINX cannot reach', { timeout: 60_000 }, () => {
  it('comes to core: refused, reset before an answer, and reset in the handshake', async () => {
    await using agent = await startAgent();
    expect(await get('/gone')).toMatch(/ 502 /);
    await eventually(() => {
      expect([...new Set(unreached())].sort()).toEqual([`127.0.0.2:${CLOSED}`, `127.0.0.3:${CLOSED}`]);
    });
    words.length = 0;
    await get('/resets');
    await eventually(() => expect(unreached()).toContain(`127.0.0.1:${resettingPort()}`));
    words.length = 0;
    await get('/tls');
    await eventually(() => expect(unreached()).toContain(`127.0.0.1:${resettingPort()}`));
    // The operator's log has it all the same.
    expect(await agent.stderr()).toContain('connect() failed (111: Connection refused) while connecting to upstream');
  });

  it('is never what a client wrote', async () => {
    await using agent = await startAgent();
    const fake = '", upstream: "http://9.9.9.9:80/';
    await get(`/gone${fake.replaceAll(' ', '')}`);
    await get(`/gone?${fake.replaceAll(' ', '')}`, `Referer: ${fake}\r\nUser-Agent: ${fake}\r\n`);
    expect(await get(`/gone${fake}`)).toMatch(/ 400 /);
    await get('/gone', '', fake);
    await get('/nothing/of/ours', `Referer: ${fake}\r\n`);
    await get('/gone/last');
    await eventually(() => expect(unreached()).toContain(`127.0.0.3:${CLOSED}`));
    await eventually(async () => expect(await agent.stderr()).toContain('/gone/last'));
    await get('/resets');
    await eventually(() => expect(unreached()).toContain(`127.0.0.1:${resettingPort()}`));
    const ours = [`127.0.0.3:${CLOSED}`, `127.0.0.2:${CLOSED}`, `127.0.0.1:${resettingPort()}`];
    expect(unreached().filter((address) => !ours.includes(address))).toEqual([]);
  });

  it('is one report a second under a storm of errors, and NGINX answers all of them', async () => {
    await using agent = await startAgent();
    const begunAt = Date.now();
    const load = Array.from({ length: 20 }, async () => {
      for (let round = 0; round < 25; round += 1) {
        expect(await get('/gone')).toMatch(/ 502 /);
      }
    });
    await Promise.all(load);
    const seconds = (Date.now() - begunAt) / 1_000;
    const reports = words.filter((word) => 'unreached' in word).length;
    expect(reports).toBeGreaterThan(0);
    expect(reports).toBeLessThanOrEqual(seconds + 2);
    expect(await agent.stderr()).not.toContain('while logging to syslog');
  });
});
