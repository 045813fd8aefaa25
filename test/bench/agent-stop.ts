/**
 * What clients see when a proxy is told to stop, by kind, and whether waiting before the listeners close helps.
 * A real NGINX under the agent on loopback; clients that never retry, with new connections and with kept ones.
 *
 *   npx tsx test/bench/agent-stop.ts [stops per row, default 20] [--json FILE]
 */
import { writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RunningAgent, startAgent } from '../integration/agent/real-nginx.ts';

/** refused: no connection was made. unanswered: connected, asked, and not one byte came back. cut: an answer broke off. */
type Outcome = 'ok' | 'refused' | 'unanswered' | 'cut';
type Connections = 'new' | 'kept';

interface Row {
  readonly name: string;
  readonly connections: Connections;
  readonly listen: string;
  readonly server: string;
  readonly pauseMs: number;
}

const ROWS: readonly Row[] = [
  { name: 'plain', connections: 'new', listen: '', server: '', pauseMs: 0 },
  { name: 'pause 500 ms', connections: 'new', listen: '', server: '', pauseMs: 500 },
  { name: 'reuseport', connections: 'new', listen: ' reuseport', server: '', pauseMs: 0 },
  { name: 'plain', connections: 'kept', listen: '', server: '', pauseMs: 0 },
  { name: 'no keepalive_min_timeout', connections: 'kept', listen: '', server: 'keepalive_min_timeout 0;', pauseMs: 0 },
];
const CLIENTS = 64;
const WARM_UP_MS = 700;
const ASK = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

const stops = Number(process.argv[2] ?? 20) || 20;
const results = [];
console.log(
  `${stops} stops per row, ${CLIENTS} clients, failures per stop of all requests; refused ones are those of the 200 ms after the listeners closed`,
);
for (const row of ROWS) {
  const counts: Record<Outcome, number> = { ok: 0, refused: 0, unanswered: 0, cut: 0 };
  for (let stop = 0; stop < stops; stop += 1) {
    await oneStop(row, counts);
  }
  results.push({ bench: 'agent-stop', ...row, stops, ...counts });
  console.log(JSON.stringify(results.at(-1)));
}
const json = process.argv.indexOf('--json');
if (json > 0) {
  await writeFile(process.argv[json + 1] ?? 'agent-stop.json', JSON.stringify(results, null, 2));
}

async function oneStop(row: Row, counts: Record<Outcome, number>): Promise<void> {
  await using agent = await startAgent(
    `keepalive_requests 1000000; server { listen 127.0.0.1:PORT${row.listen}; ${row.server} location / { return 200 "hello"; } }`,
  );
  await agent.reached('serving');
  const load = { on: true };
  const clients = Array.from({ length: CLIENTS }, () => client(agent, row.connections, load, counts));
  await sleep(WARM_UP_MS - row.pauseMs);
  // Told to stop here; NGINX hears of it after the pause. The listeners close at the same age of the load in every row.
  await sleep(row.pauseMs);
  agent.signal('SIGTERM');
  await sleep(200);
  load.on = false;
  await Promise.all(clients);
  await agent.exitCode;
}

/** Asks again and again; a client that was refused waits 10 ms, as one that spreads over several proxies would leave. */
async function client(
  agent: RunningAgent,
  connections: Connections,
  load: { on: boolean },
  counts: Record<Outcome, number>,
): Promise<void> {
  let kept: Socket | undefined;
  while (load.on) {
    const socket = kept ?? connect(agent.port, '127.0.0.1');
    const { outcome, reusable } = await ask(socket, kept !== undefined);
    counts[outcome] += 1;
    kept = connections === 'kept' && reusable ? socket : undefined;
    if (kept === undefined) {
      socket.destroy();
    }
    if (outcome === 'refused') {
      await sleep(10);
    }
  }
  kept?.destroy();
}

function ask(socket: Socket, connected: boolean): Promise<{ outcome: Outcome; reusable: boolean }> {
  return new Promise((resolve) => {
    let reached = connected;
    let text = '';
    const end = (outcome: Outcome, reusable = false) => {
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      resolve({ outcome, reusable });
    };
    socket.on('connect', () => {
      reached = true;
      socket.write(ASK);
    });
    socket.on('data', (data) => {
      text += String(data);
      if (text.endsWith('\r\n\r\nhello')) {
        end('ok', !/connection: close/i.test(text));
      }
    });
    socket.on('error', () => end(broken()));
    socket.on('close', () => end(broken()));
    if (connected) {
      socket.write(ASK);
    }

    function broken(): Outcome {
      if (!reached) {
        return 'refused';
      }
      return text === '' ? 'unanswered' : 'cut';
    }
  });
}
