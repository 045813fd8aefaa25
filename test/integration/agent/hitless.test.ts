/** Core's desk for agents, the wire, and agents as processes with real NGINX: what is delivered, refused, cut off and caught up with. */
import { get } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { childrenOf } from '../../../src/agent/nginx/workers.ts';
import { createBoard } from '../../../src/core/board.ts';
import { createHandlers } from '../../../src/core/serve/handlers.ts';
import { createArtifact, pieceOf } from '../../../src/model/artifact.ts';
import { findingKey } from '../../../src/model/finding.ts';
import { sha256Hex } from '../../../src/model/revision.ts';
import type { WireHandlers } from '../../../src/wire/contract.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/nginx.ts';
import { extensionSettings } from '../../support/settings.ts';
import { createWireBench, silent, type WireBench } from '../../support/wire.ts';
import { type AgentProcess, type AgentProcessOptions, startAgentProcess } from './agent-process.ts';

const PATH = '/etc/nginx/nginx.conf';

let bench: WireBench;
let corePort: number;
let port: number;
beforeEach(async () => {
  bench = createWireBench();
  corePort = await freePort();
  port = await freePort();
});
afterEach(() => bench.close());

/** A file as small as it gets that says `answer` to everybody. */
function file(answer: string, extra = ''): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'scgi', 'uwsgi'].map(
    (name) => `${name}_temp_path /var/cache/nginx/${name};`,
  );
  return `worker_processes 2;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid /run/nginx.pid;
error_log stderr warn;
worker_shutdown_timeout 20s;
events {}
http {
  access_log off;
  keepalive_min_timeout 1s;
  ${temp.join('\n  ')}
  server { listen 127.0.0.1:${port}; location / { return 200 "${answer}"; } }
  ${extra}
}
`;
}

function artifactOf(...texts: readonly string[]) {
  return createArtifact([{ path: PATH, mode: 0o444, pieces: texts.map((text) => pieceOf(Buffer.from(text))) }]);
}

/** Core's own desk with its wire, and nothing behind it. */
async function startCore(change: (handlers: WireHandlers) => Partial<WireHandlers> = () => ({}), hitless = true) {
  const settings = { ...extensionSettings(), hitless };
  const board = createBoard([settings], findingKey, { onNew: () => undefined, onGone: () => undefined });
  const facts = { version: '1', epoch: `e${Date.now()}`, taskFeed: () => ({ kind: 'poll', reason: '' }) as const };
  const handlers = createHandlers(board, facts, silent);
  const { server } = await bench.serve({ ...handlers, ...change(handlers) }, corePort);
  const extension = board.extensions.get('default');
  if (extension === undefined) {
    throw new Error('no extension');
  }
  const order = { sequence: 0 };
  return {
    board,
    stop: () => server.stop(0),
    deliver(text: string | readonly string[]) {
      const pieces = [text].flat();
      order.sequence += 1;
      const revision = { digest: sha256Hex(pieces.join('')), sequence: order.sequence, versionIndex: order.sequence };
      const artifact = artifactOf(...pieces);
      extension.rendered.set({ revision, artifact, requirements: { networks: [], secrets: [] } });
      return artifact.digest;
    },
    session: (taskId = 'task1') => extension.agents.get()?.sessions.find((session) => session.taskId === taskId),
  };
}

function startAgent(options: Partial<AgentProcessOptions> = {}, taskId = 'task1'): Promise<AgentProcess> {
  return startAgentProcess({
    mounted: file('mounted'),
    ...options,
    env: {
      INTERLOCK_ENDPOINT: `127.0.0.1:${corePort}`,
      INTERLOCK_EXTENSION: 'default',
      INTERLOCK_TASK_ID: taskId,
      INTERLOCK_NODE_ID: 'node1',
      ...options.env,
    },
  });
}

/** On a connection of its own. */
function ask(at = port): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port: at, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('end', () => resolve(Buffer.concat(chunks).toString()));
    });
    request.once('error', reject);
  });
}

describe('an agent with a core', { timeout: 60_000 }, () => {
  it("starts with core's file, serves each newer one without a restart, and says so", async () => {
    const core = await startCore();
    const first = core.deliver(file('one'));
    await using agent = await startAgent();
    const master = await agent.master();
    expect(await ask()).toBe('one');
    await eventually(() => core.session()?.artifactDigest === first);

    const second = core.deliver(file('two'));
    await eventually(() => core.session()?.artifactDigest === second);
    expect(await Promise.all(Array.from({ length: 50 }, () => ask()))).toEqual(Array.from({ length: 50 }, () => 'two'));
    expect(await agent.master()).toBe(master);
  });

  it('loses no request over a row of reloads, and ends with the newest', async () => {
    const core = await startCore();
    core.deliver(file('0'));
    await using agent = await startAgent();
    await agent.master();
    const failures: unknown[] = [];
    const load = { on: true };
    const loading = Promise.all(
      [1, 2, 3].map(async () => {
        while (load.on) {
          await ask().catch((error: unknown) => failures.push(error));
        }
      }),
    );
    let digest = '';
    for (let round = 1; round <= 12; round += 1) {
      digest = core.deliver(file(String(round)));
      await eventually(async () => Number(await ask()) >= round - 2);
    }
    await eventually(() => core.session()?.artifactDigest === digest);
    load.on = false;
    await loading;
    expect(failures).toEqual([]);
    expect(await ask()).toBe('12');
  });

  it('reloads NGINX once at a time, and not for what was overtaken meanwhile', async () => {
    const core = await startCore();
    core.deliver(file('0'));
    await using agent = await startAgent();
    await agent.master();
    await eventually(async () => (await ask()) === '0');
    const steps = async (since: number) =>
      (await agent.log())
        .slice(since)
        .filter(({ stage }) => stage === 'sent' || stage === 'applied')
        .map(({ stage }) => String(stage));
    const since = (await agent.log()).length;
    let digest = '';
    let changes = 0;
    // As fast as NGINX answers, until several reloads were under way meanwhile.
    do {
      changes += 1;
      digest = core.deliver(file(String(changes)));
      await ask();
    } while ((await steps(since)).length < 6 && changes < 10_000);
    await eventually(() => core.session()?.artifactDigest === digest);
    expect(await ask()).toBe(String(changes));

    const taken = await steps(since);
    const reloads = taken.length / 2;
    expect(taken).toEqual(Array.from({ length: reloads }, () => ['sent', 'applied']).flat());
    expect(reloads).toBeGreaterThanOrEqual(3);
    expect(reloads).toBeLessThan(changes / 2);
  });

  it('keeps the old file when NGINX refuses the new one, and brings its words to core', async () => {
    const core = await startCore();
    const good = core.deliver(file('good'));
    await using agent = await startAgent();
    const master = await agent.master();

    const bad = core.deliver(file('bad', 'nonsense on;'));
    const refused = await eventually(() => {
      const found = core.session()?.refused;
      expect(found?.artifactDigest).toBe(bad);
      return found;
    });
    expect(refused?.reason).toMatch(/^\[emerg\] unknown directive "nonsense" in .*nginx\.conf:\d+$/);
    expect(core.session()?.artifactDigest).toBe(good);
    expect(core.board.findings().map(({ code }) => code)).toEqual(['DELIVERY.REFUSED']);
    expect(await ask()).toBe('good');

    const better = core.deliver(file('better'));
    await eventually(() => core.session()?.artifactDigest === better);
    expect(core.session()?.refused).toBeUndefined();
    expect(core.board.findings()).toEqual([]);
    expect(await ask()).toBe('better');
    expect(await agent.master()).toBe(master);
  });

  it('starts with the mounted file when NGINX refuses the one of core', async () => {
    const core = await startCore();
    const bad = core.deliver(file('bad', 'nonsense on;'));
    await using agent = await startAgent();
    await agent.master();
    expect(await ask()).toBe('mounted');
    await eventually(() => core.session()?.refused?.artifactDigest === bad);
    expect(core.session()?.artifactDigest).toBe(artifactOf(file('mounted')).digest);
  });

  it("starts with core's file when that logs to standard output and standard error, as the rendered one does", async () => {
    const core = await startCore();
    const logged = file('logged', 'access_log /dev/stdout; error_log /dev/stderr warn;').replace('access_log off;', '');
    const newer = core.deliver(logged);
    await using agent = await startAgent();
    await agent.master();
    expect(await ask()).toBe('logged');
    await eventually(() => core.session()?.artifactDigest === newer);
    expect(core.session()?.refused).toBeUndefined();
  });

  it('serves the mounted file, packed or not, when core does not answer, and catches up', async () => {
    await using agent = await startAgent({ mounted: gzipSync(file('mounted')) });
    const master = await agent.master();
    expect(await ask()).toBe('mounted');
    const core = await startCore();
    await eventually(() => core.session()?.artifactDigest === artifactOf(file('mounted')).digest);
    core.deliver(file('newest'));
    await eventually(async () => (await ask()) === 'newest');
    expect(await agent.master()).toBe(master);
  });

  it('serves on while core is away, and takes what is newest when it is back', async () => {
    const first = await startCore();
    first.deliver(file('one'));
    await using agent = await startAgent();
    const master = await agent.master();
    await first.stop();
    expect(await ask()).toBe('one');
    const second = await startCore();
    // Core knows by the session what is served, before it has anything to say.
    await eventually(() => second.session()?.artifactDigest === artifactOf(file('one')).digest);
    second.deliver(file('two'));
    await eventually(async () => (await ask()) === 'two');
    expect(await agent.master()).toBe(master);
  });

  it('is cut off in the middle of a file: serves the old one, then the whole new one', async () => {
    const asked = { count: 0 };
    const core = await startCore(() => ({
      fetchBlobs: (_caller, _digests, signal) => {
        asked.count += 1;
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('cut')), { once: true });
        });
      },
    }));
    await using agent = await startAgent();
    const master = await agent.master();
    core.deliver(file('whole'));
    await eventually(() => asked.count === 1);
    await core.stop();
    expect(await ask()).toBe('mounted');
    const again = await startCore();
    again.deliver(file('whole'));
    await eventually(async () => (await ask()) === 'whole');
    expect(await agent.master()).toBe(master);
  });

  const pools = Array.from({ length: 40 }, (_, at) => `  upstream p${at} {\n    server 127.0.0.1:${at + 1};\n  }\n`);
  const inPieces = (answer: string) => {
    const text = file(answer);
    const inside = text.indexOf('http {\n') + 'http {\n'.length;
    return [text.slice(0, inside), ...pools, text.slice(inside)];
  };

  it('takes a file in pieces, and what is new in the next one as it came along: no call for it', async () => {
    const asked: number[] = [];
    const core = await startCore((handlers) => ({
      fetchBlobs: (caller, digests, signal) => {
        asked.push(digests.length);
        return handlers.fetchBlobs(caller, digests, signal);
      },
    }));
    await using agent = await startAgent();
    const master = await agent.master();
    const serves = async (answer: string, digest: string) => {
      await eventually(async () => (await ask()) === answer);
      await eventually(() => core.session()?.artifactDigest === digest);
    };
    await serves('one', core.deliver(inPieces('one')));
    await serves('two', core.deliver(inPieces('two')));
    // What is folded away while a reload is under way takes nothing with it.
    core.deliver(inPieces('three'));
    await serves('four', core.deliver(inPieces('four')));
    expect(asked).toEqual([42]);
    expect(await agent.master()).toBe(master);
  });

  it('asks for what came along damaged', async () => {
    const asked: number[] = [];
    const core = await startCore((handlers) => ({
      async *agentSession(...call) {
        for await (const directive of handlers.agentSession(...call)) {
          yield directive.kind === 'serve'
            ? { ...directive, along: directive.along.map(({ digest }) => ({ digest, bytes: Buffer.from('worker') })) }
            : directive;
        }
      },
      fetchBlobs: (caller, digests, signal) => {
        asked.push(digests.length);
        return handlers.fetchBlobs(caller, digests, signal);
      },
    }));
    await using agent = await startAgent();
    await agent.master();
    const first = core.deliver(inPieces('one'));
    await eventually(() => core.session()?.artifactDigest === first);
    core.deliver(inPieces('two'));
    await eventually(async () => (await ask()) === 'two');
    expect(asked).toEqual([42, 1]);
    expect((await agent.log()).filter(({ msg }) => String(msg).startsWith('core is away'))).toEqual([]);
  });

  it('of a core that sends nothing along asks for what is new alone, also after a cut in the middle of it', async () => {
    const asked: number[] = [];
    const cut = { on: false };
    const core = await startCore((handlers) => ({
      async *agentSession(...call) {
        for await (const directive of handlers.agentSession(...call)) {
          yield directive.kind === 'serve' ? { ...directive, along: [] } : directive;
        }
      },
      fetchBlobs: async (caller, digests, signal) => {
        asked.push(digests.length);
        const blobs = await handlers.fetchBlobs(caller, digests, signal);
        return cut.on ? blobs.map(({ digest, bytes }) => ({ digest, bytes: bytes.subarray(1) })) : blobs;
      },
    }));
    await using agent = await startAgent();
    const master = await agent.master();
    core.deliver(inPieces('one'));
    await eventually(async () => (await ask()) === 'one');
    cut.on = true;
    core.deliver(inPieces('two'));
    await eventually(() => asked.length === 2);
    await eventually(async () => (await agent.log()).some(({ msg }) => msg === 'the file did not come'));
    expect(await ask()).toBe('one');
    cut.on = false;
    core.deliver(inPieces('three'));
    await eventually(async () => (await ask()) === 'three');
    expect(asked).toEqual([42, 1, 1]);
    expect(await agent.master()).toBe(master);
  });

  it('serves no file whose bytes are not those of its digest', async () => {
    const damaged = { on: true };
    const core = await startCore((handlers) => ({
      fetchBlobs: async (caller, digests, signal) => {
        const blobs = await handlers.fetchBlobs(caller, digests, signal);
        return damaged.on
          ? blobs.map(({ digest, bytes }) => ({ digest, bytes: bytes.subarray(0, bytes.byteLength / 2) }))
          : blobs;
      },
    }));
    await using agent = await startAgent();
    await agent.master();
    core.deliver(file('damaged'));
    await eventually(async () => (await agent.log()).some(({ msg }) => msg === 'the file did not come'));
    expect(await ask()).toBe('mounted');
    damaged.on = false;
    core.deliver(file('next'));
    await eventually(async () => (await ask()) === 'next');
  });

  it('does not wait where core delivers by rolling the service', async () => {
    const core = await startCore(undefined, false);
    core.deliver(file('not for agents'));
    await using agent = await startAgent();
    await agent.master();
    expect(await ask()).toBe('mounted');
    await eventually(() => core.session()?.artifactDigest === artifactOf(file('mounted')).digest);
    const lines = await agent.log();
    expect(lines.filter(({ msg }) => msg === 'starting with the mounted file')).toEqual([]);
  });

  it('finishes what is in flight when it is stopped during a reload', async () => {
    const core = await startCore();
    core.deliver(file('one'));
    await using agent = await startAgent();
    await agent.master();
    core.deliver(file('two'));
    agent.signal('SIGTERM');
    expect(await agent.exitCode).toBe(0);
    await eventually(() => core.session() === undefined);
  });

  it('ends when NGINX dies in a reload, so that Swarm replaces the task', async () => {
    const core = await startCore();
    core.deliver(file('one'));
    await using agent = await startAgent();
    const master = await agent.master();
    core.deliver(file('two'));
    // Outside of a container nobody ends the workers of a master that is gone.
    process.kill(master, 'SIGSTOP');
    const orphans = childrenOf(master);
    process.kill(master, 'SIGKILL');
    expect(await agent.exitCode).toBe(1);
    for (const pid of orphans) {
      process.kill(pid, 'SIGKILL');
    }
  });

  it('finds what raw lines include beside the main file', async () => {
    const core = await startCore();
    core.deliver(file('one', 'include extra.conf;'));
    await using agent = await startAgent({ etc: { 'extra.conf': 'server_tokens off;' } });
    await agent.master();
    expect(await ask()).toBe('one');
    expect(core.session()?.refused).toBeUndefined();
  });
});
