import { randomBytes } from 'node:crypto';
import { getHeapStatistics } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { createBoard } from '../../../../src/core/board.ts';
import { type AgentsDesk, createAgentsDesk } from '../../../../src/core/serve/agents.ts';
import { createArtifact, manifestOf, pieceOf } from '../../../../src/model/artifact.ts';
import { createFinding, findingKey } from '../../../../src/model/finding.ts';
import { sha256Hex } from '../../../../src/model/revision.ts';
import { createCell } from '../../../../src/runtime/cell.ts';
import type { AgentDirective, AgentHello, AgentReport, AgentWord } from '../../../../src/wire/contract.ts';
import { refusalReason } from '../../../../src/wire/errors.ts';
import { MAX_ALONG_BYTES } from '../../../../src/wire/limits.ts';
import { createManualClock } from '../../../fakes/manual-clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { extensionSettings } from '../../../support/settings.ts';
import { ip, port } from '../../../support/snapshots.ts';
import { silent } from '../../../support/wire.ts';

const hello = (taskId: string, artifactDigest?: string): AgentHello => ({
  taskId,
  nodeId: `node-of-${taskId}`,
  proxyVersion: '1.30.6',
  artifactDigest,
});
const cut = (...texts: readonly string[]) =>
  createArtifact([
    { path: '/etc/nginx/nginx.conf', mode: 0o444, pieces: texts.map((text) => pieceOf(Buffer.from(text))) },
  ]);
const artifactOf = (text: string) =>
  createArtifact([{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) }]);
const applied = (text: string, findings: AgentReport['findings'] = []): AgentReport => ({
  artifactDigest: artifactOf(text).digest,
  outcome: { kind: 'applied' },
  durationMs: 1,
  findings,
});
const refused = (text: string, reason: string): AgentReport => ({
  artifactDigest: artifactOf(text).digest,
  outcome: { kind: 'refused', reason },
  durationMs: 1,
  findings: [],
});

function setUp(hitless = true, reloadsPerMinute?: number) {
  const settings = { ...extensionSettings(), hitless };
  const board = createBoard([settings], findingKey, { onNew: () => undefined, onGone: () => undefined });
  const extension = board.extensions.get('default');
  if (extension === undefined) {
    throw new Error('no extension');
  }
  const time = createManualClock(0);
  const unreached: string[] = [];
  const onUnreached = (addresses: readonly { readonly address: string }[]): void => {
    unreached.push(addresses.map(({ address }) => address).join());
  };
  const desk = createAgentsDesk({
    extension,
    board,
    epoch: 'e1',
    clock: time,
    reloadsPerMinute,
    onUnreached,
    logger: silent,
  });
  let sequence = 0;
  return {
    desk,
    time,
    unreached,
    board,
    extension,
    render(text: string, losses?: number, artifact = artifactOf(text)) {
      sequence += 1;
      const revision = { digest: sha256Hex(Buffer.from(text)), sequence, versionIndex: sequence };
      const requirements = { networks: [], secrets: [] };
      const known = losses === undefined ? {} : { losses };
      extension.rendered.set({ revision, artifact, requirements, ...known });
    },
    sessions: () => extension.agents.get()?.sessions ?? [],
    agents: extension.agents,
    /** Reports that come together are published together, a moment later. */
    heard: (condition: () => boolean) =>
      eventually(async () => {
        await time.advance(50);
        return condition();
      }),
    codes: () => board.findings().map(({ code, value }) => [code, value]),
  };
}

/** One agent's session, with the directives that core has sent so far. */
function open(desk: AgentsDesk, greeting: AgentHello) {
  const stop = new AbortController();
  const reports = createCell<AgentWord>();
  const silence = new AbortController();
  const directives: AgentDirective[] = [];
  async function* said(): AsyncIterable<AgentWord> {
    try {
      yield* reports.watch(silence.signal);
    } catch {
      // The agent ends its side.
    }
  }
  const ended = (async () => {
    for await (const directive of desk.session(greeting, said(), stop.signal)) {
      directives.push(directive);
    }
  })();
  ended.catch(() => undefined); // looked at by those who care
  return {
    directives,
    ended,
    stop,
    report: (report: AgentWord) => reports.set(report),
    hangUp: () => silence.abort(),
  };
}

const told = (directives: readonly AgentDirective[]) =>
  directives.map((directive) => (directive.kind === 'serve' ? directive.manifest.digest : 'none'));

describe('word of endpoints that were not reached', () => {
  it('is passed on twice a second at most, and changes nothing else', async () => {
    const { desk, time, unreached, sessions, codes } = setUp();
    const agent = open(desk, hello('t1'));
    await eventually(() => sessions().length === 1);
    const before = sessions();
    for (const number of [1, 2, 3, 4]) {
      agent.report({ unreached: [{ address: ip(`10.0.0.${number}`), port: port(80) }] });
      await time.advance(10);
    }
    expect(unreached).toEqual(['10.0.0.1', '10.0.0.2']);
    await time.advance(1_000);
    agent.report({ unreached: [{ address: ip('10.0.0.5'), port: port(80) }] });
    await eventually(() => unreached.length === 3);
    expect(sessions()).toBe(before);
    expect(codes()).toEqual([]);
    agent.stop.abort();
  });
});

describe('a session', () => {
  it('is told the newest artifact at once, then each newer one, and equal ones once', async () => {
    const { desk, render } = setUp();
    render('one');
    const agent = open(desk, hello('t1'));
    await eventually(() => told(agent.directives).length === 1);
    render('one');
    render('two');
    await eventually(() => told(agent.directives).length === 2);
    expect(told(agent.directives)).toEqual(['one', 'two'].map((text) => artifactOf(text).digest));
  });

  it('waits for the first artifact, and in classic mode is told that there is none for it', async () => {
    const waiting = setUp();
    const agent = open(waiting.desk, hello('t1'));
    await eventually(() => waiting.sessions().length === 1);
    expect(agent.directives).toEqual([]);
    const classic = setUp(false);
    classic.render('one');
    const other = open(classic.desk, hello('t1'));
    await eventually(() => told(other.directives).length === 1);
    expect(told(other.directives)).toEqual(['none']);
  });

  it('shows what each proxy serves and refuses, while it lasts', async () => {
    const { desk, render, sessions, heard } = setUp();
    render('two');
    const agent = open(desk, hello('t1', artifactOf('one').digest));
    await eventually(() => sessions()[0]?.artifactDigest === artifactOf('one').digest);
    agent.report(refused('two', '[emerg] no'));
    await heard(() => sessions()[0]?.refused?.reason === '[emerg] no');
    expect(desk.sessions()).toEqual([
      {
        taskId: 't1',
        nodeId: 'node-of-t1',
        artifactDigest: artifactOf('one').digest,
        refused: { artifactDigest: artifactOf('two').digest, reason: '[emerg] no' },
      },
    ]);
    agent.report(applied('two'));
    await heard(() => sessions()[0]?.refused === undefined);
    expect(sessions()[0]?.artifactDigest).toBe(artifactOf('two').digest);
    agent.hangUp();
    await agent.ended;
    expect(sessions()).toEqual([]);
  });

  it('gives way to a newer one of the same task, whose word then counts', async () => {
    const { desk, sessions } = setUp();
    const older = open(desk, hello('t1'));
    await eventually(() => sessions().length === 1);
    const newer = open(desk, hello('t1', artifactOf('one').digest));
    const failure: unknown = await older.ended.catch((error: unknown) => error);
    expect(refusalReason(failure)).toBe('precondition');
    older.report(applied('late'));
    newer.report(applied('two'));
    await eventually(() => sessions()[0]?.artifactDigest === artifactOf('two').digest);
    expect(sessions()).toHaveLength(1);
  });

  it('ends when the caller goes away, and others do not notice', async () => {
    const { desk, sessions } = setUp();
    const [one, two] = [open(desk, hello('t1')), open(desk, hello('t2'))];
    await eventually(() => sessions().length === 2);
    one.stop.abort(new Error('gone'));
    await expect(one.ended).rejects.toThrow('gone');
    two.report(applied('one'));
    await eventually(() => sessions()[0]?.artifactDigest !== undefined);
    expect(sessions().map(({ taskId }) => taskId)).toEqual(['t2']);
  });
});

describe('reports', () => {
  async function* all(reports: readonly AgentReport[]): AsyncIterable<AgentReport> {
    yield* reports;
    await new Promise(() => undefined); // the session stays open
  }

  /** How often the board changed because of them, and what the last one left there. */
  async function sent(reports: readonly AgentReport[], { desk, time, agents }: ReturnType<typeof setUp>) {
    const stop = new AbortController();
    const session = desk.session(hello('t1'), all(reports), stop.signal)[Symbol.asyncIterator]();
    const ended = session.next().catch((error: unknown) => error);
    await time.advance(0);
    let changes = 0;
    const set = agents.set.bind(agents);
    agents.set = (value) => {
      changes += 1;
      set(value);
    };
    await time.advance(49);
    const before = changes;
    await time.advance(1);
    const digest = agents.get()?.sessions[0]?.artifactDigest;
    return { before, after: changes, digest, stop, ended };
  }

  it('that come together change the board once, with the newest, and nothing is left behind', async () => {
    const texts = Array.from({ length: 100 }, (_, at) => String(at));
    const parts = setUp();
    const { before, after, digest, stop, ended } = await sent(
      texts.map((text) => applied(text)),
      parts,
    );
    expect([before, after, digest]).toEqual([0, 1, artifactOf('99').digest]);
    stop.abort(new Error('gone'));
    expect(await ended).toMatchObject({ message: 'gone' });
    expect(parts.time.sleepers()).toBe(0);
  });

  it('end the session when they are more than anybody has to say', async () => {
    const texts = Array.from({ length: 101 }, (_, at) => String(at));
    const parts = setUp();
    const { ended } = await sent(
      texts.map((text) => applied(text)),
      parts,
    );
    expect(refusalReason(await ended)).toBe('exhausted');
    expect([parts.sessions(), parts.time.sleepers()]).toEqual([[], 0]);
  });

  it('are not kept: 400 MB of them in one session leave no trace', async () => {
    const { extension, board } = setUp();
    let now = 0;
    const clock = { now: () => now, monotonic: () => (now += 60), sleep: () => new Promise<never>(() => undefined) };
    const desk = createAgentsDesk({ extension, board, epoch: 'e1', clock, logger: silent });
    async function* many(): AsyncIterable<AgentReport> {
      for (let left = 20_000; left > 0; left -= 1) {
        yield { ...refused('one', randomBytes(10_000).toString('hex')), artifactDigest: 'digest' };
      }
    }
    const before = getHeapStatistics().used_heap_size;
    for await (const directive of desk.session(hello('t1'), many(), new AbortController().signal)) {
      expect(directive).toBeUndefined(); // nothing was rendered
    }
    expect(getHeapStatistics().used_heap_size - before).toBeLessThan(150_000_000);
  });
});

describe('findings', () => {
  const finding = createFinding('SECRET.EXPIRED', 'It has expired.', { value: 'crt' });

  it('of two proxies are one, outlast a broken session for a while, and go when the proxy drains', async () => {
    const { desk, codes, sessions, time, heard } = setUp();
    const [one, two] = [open(desk, hello('t1')), open(desk, hello('t2'))];
    await eventually(() => sessions().length === 2);
    one.report(applied('one', [finding]));
    two.report(applied('one', [finding]));
    await heard(() => sessions().every(({ artifactDigest }) => artifactDigest !== undefined));
    expect(codes()).toEqual([['SECRET.EXPIRED', 'crt']]);
    two.report({ artifactDigest: undefined, outcome: { kind: 'draining' }, durationMs: 0, findings: [] });
    one.hangUp();
    await one.ended;
    expect(codes()).toEqual([['SECRET.EXPIRED', 'crt']]);
    await time.advance(60_000);
    desk.sessions();
    await eventually(() => codes().length === 0);
  });

  it('of a proxy that died go by the clock, although nobody asks and nothing happens', async () => {
    const { desk, codes, time } = setUp();
    const stop = new AbortController();
    const running = desk.component.run(stop.signal).catch((error: unknown) => error);
    const [one, two] = [open(desk, hello('t1')), open(desk, hello('t2'))];
    one.report(applied('one', [finding]));
    await eventually(() => codes().length === 1);
    one.stop.abort();
    await one.ended.catch(() => undefined);
    await time.advance(30_000);
    two.stop.abort();
    await two.ended.catch(() => undefined);
    await time.advance(29_999);
    expect(codes()).toEqual([['SECRET.EXPIRED', 'crt']]);
    await time.advance(1);
    expect(codes()).toEqual([]);
    stop.abort(new Error('core stops'));
    expect(await running).toMatchObject({ message: 'core stops' });
    expect(time.sleepers()).toBe(0);
  });

  it('say that the newest artifact is refused, and nothing of older ones', async () => {
    const { desk, codes, render, sessions, heard } = setUp();
    render('one');
    const [one, two] = [open(desk, hello('t1')), open(desk, hello('t2'))];
    await eventually(() => sessions().length === 2);
    one.report(refused('one', '[emerg] unknown directive'));
    two.report(refused('one', '[emerg] unknown directive'));
    await heard(() => sessions().every((session) => session.refused !== undefined));
    expect(codes()).toEqual([['DELIVERY.REFUSED', '[emerg] unknown directive']]);
    render('two');
    await eventually(() => codes().length === 0);
  });
});

describe('blobs', () => {
  it('are those of the last artifacts, and a stranger is not found', async () => {
    const { desk, render } = setUp();
    const agent = open(desk, hello('t1'));
    for (const text of ['one', 'two', 'three', 'four']) {
      render(text);
      await eventually(() => told(agent.directives).includes(artifactOf(text).digest));
    }
    const blob = (text: string) => manifestOf(artifactOf(text)).entries[0]?.blob ?? '';
    expect(desk.blobs([blob('four'), blob('two')]).map(({ bytes }) => String(bytes))).toEqual(['four', 'two']);
    render('five', undefined, cut('fi', 've'));
    await eventually(() => told(agent.directives).includes(artifactOf('five').digest));
    const parts = [blob('five'), sha256Hex('ve'), sha256Hex('fi')];
    expect(desk.blobs(parts).map(({ bytes }) => String(bytes))).toEqual(['five', 've', 'fi']);
    for (const gone of [blob('one'), '0'.repeat(64)]) {
      expect(() => desk.blobs([gone])).toThrow(/no artifact of late/);
    }
  });
});

describe('pieces along with a directive', () => {
  const along = (directives: readonly AgentDirective[]) =>
    directives.map((directive) =>
      directive.kind === 'serve' ? directive.along.map(({ bytes }) => Buffer.from(bytes).toString()) : [],
    );

  it('are those that what the agent serves does not have, however much it was told since', async () => {
    const { desk, render, sessions, heard } = setUp();
    const agent = open(desk, hello('t1'));
    const deliver = async (serves: boolean, ...texts: readonly string[]) => {
      const artifact = cut(...texts);
      render(texts.join(), undefined, artifact);
      await eventually(() => told(agent.directives).at(-1) === artifact.digest);
      if (serves) {
        agent.report({ ...applied(''), artifactDigest: artifact.digest });
        await heard(() => sessions()[0]?.artifactDigest === artifact.digest);
      }
    };
    await deliver(true, 'head', 'a');
    await deliver(true, 'head', 'b', 'c', 'b');
    await deliver(false, 'head', 'a');
    await deliver(false, 'head', 'b', 'd');
    expect(along(agent.directives)).toEqual([[], ['b', 'c'], ['a'], ['d']]);
    agent.stop.abort();
  });

  it('come to an agent that connects again with what it serves, and to none that serves what nobody knows', async () => {
    const { desk, render } = setUp();
    const [one, two] = [cut('head', 'a'), cut('head', 'b')];
    render('one', undefined, one);
    const before = open(desk, hello('t1'));
    await eventually(() => before.directives.length === 1);
    render('two', undefined, two);
    const again = open(desk, hello('t1', one.digest));
    const stranger = open(desk, hello('t2', artifactOf('of another core').digest));
    await eventually(() => again.directives.length === 1 && stranger.directives.length === 1);
    expect([along(again.directives), along(stranger.directives)]).toEqual([[['b']], [[]]]);
    again.stop.abort();
    stranger.stop.abort();
  });

  it('are all or none: what is large is left to be fetched', async () => {
    const { desk, render } = setUp();
    const half = MAX_ALONG_BYTES / 2;
    const [served, fits, large] = [
      cut('head'),
      cut('head', 'a'.repeat(half), 'b'.repeat(half)),
      cut('head', 'c'.repeat(half), 'd'.repeat(half + 1)),
    ];
    render('served', undefined, served);
    const first = open(desk, hello('t0'));
    await eventually(() => first.directives.length === 1);
    const agent = open(desk, hello('t1', served.digest));
    for (const [at, artifact] of [fits, large].entries()) {
      render(String(at), undefined, artifact);
      await eventually(() => told(agent.directives).at(-1) === artifact.digest);
    }
    expect(along(agent.directives).map(({ length }) => length)).toEqual([0, 2, 0]);
    first.stop.abort();
    agent.stop.abort();
  });

  it('stay at home where they would be too much for all agents together', async () => {
    const { desk, render, sessions } = setUp();
    const served = cut('head');
    render('served', undefined, served);
    const first = open(desk, hello('t0'));
    await eventually(() => first.directives.length === 1);
    const agents = Array.from({ length: 200 }, (_, at) => open(desk, hello(`t${at + 1}`, served.digest)));
    await eventually(() => sessions().length === 201);
    for (const [name, size] of [
      ['few', 16 * 1024],
      ['many', MAX_ALONG_BYTES],
    ] as const) {
      render(name, undefined, cut('head', name[0]?.repeat(size) ?? ''));
      await eventually(() => agents.every(({ directives }) => directives.length === (name === 'few' ? 2 : 3)));
    }
    expect(along(agents[0]?.directives ?? []).map(({ length }) => length)).toEqual([0, 1, 0]);
    for (const agent of [first, ...agents]) {
      agent.stop.abort();
    }
  });
});

describe('the reload budget', () => {
  const digests = (...texts: readonly string[]) => texts.map((text) => artifactOf(text).digest);

  it('holds additions back until a minute has passed since the first, and then tells only the newest', async () => {
    const { desk, render, time } = setUp(true, 2);
    render('one', 0);
    const agent = open(desk, hello('t1'));
    await eventually(() => agent.directives.length === 1);
    render('two', 0);
    await eventually(() => agent.directives.length === 2);
    render('three', 0);
    await eventually(() => time.sleepers() > 0);
    render('four', 0);
    await time.advance(59_999);
    expect(told(agent.directives)).toEqual(digests('one', 'two'));
    await time.advance(1);
    await eventually(() => agent.directives.length === 3);
    expect(told(agent.directives)).toEqual(digests('one', 'two', 'four'));
    agent.stop.abort();
  });

  it('lets the loss of an endpoint pass at once, also while something else waits', async () => {
    const { desk, render, time } = setUp(true, 1);
    render('one', 0);
    const agent = open(desk, hello('t1'));
    await eventually(() => agent.directives.length === 1);
    render('two', 0);
    await eventually(() => time.sleepers() > 0);
    render('three', 1);
    await eventually(() => agent.directives.length === 2);
    expect(told(agent.directives)).toEqual(digests('one', 'three'));
    expect(time.sleepers()).toBe(0);
    agent.stop.abort();
  });

  it('holds nothing back without a limit, or when losses are not known', async () => {
    const free = setUp();
    const unknown = setUp(true, 1);
    for (const { desk, render } of [free, unknown]) {
      render('0');
      const agent = open(desk, hello('t1'));
      for (let count = 1; count <= 5; count += 1) {
        await eventually(() => agent.directives.length === count);
        render(String(count));
      }
      agent.stop.abort();
    }
  });

  it('ends with its session while it waits', async () => {
    const { desk, render, time } = setUp(true, 1);
    render('one', 0);
    const agent = open(desk, hello('t1'));
    await eventually(() => agent.directives.length === 1);
    render('two', 0);
    await eventually(() => time.sleepers() > 0);
    agent.stop.abort(new Error('core stops'));
    await expect(agent.ended).rejects.toThrow('core stops');
    expect(time.sleepers()).toBe(0);
  });
});
