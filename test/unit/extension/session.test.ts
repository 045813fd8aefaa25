import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Check, CheckOutcome } from '../../../src/extension/check.ts';
import type { Render } from '../../../src/extension/draft.ts';
import { runSession } from '../../../src/extension/session.ts';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { digestModel } from '../../../src/model/revision.ts';
import { type Clock, systemClock } from '../../../src/runtime/clock.ts';
import { OperationalError } from '../../../src/runtime/errors.ts';
import { createManualClock } from '../../fakes/manual-clock.ts';
import {
  appears,
  artifactOf,
  createFakeCore,
  createWireBench,
  type FakeCore,
  full,
  patch,
  sampleModel,
  silent,
  type WireBench,
} from '../../support/wire.ts';

const QUICK = { firstMs: 2, maxMs: 20, healthyAfterMs: 10_000, random: () => 0.5 };

let bench: WireBench;
let abort: AbortController;
let sessions: Promise<void>[];
beforeEach(() => {
  bench = createWireBench();
  abort = new AbortController();
  sessions = [];
});
afterEach(async () => {
  abort.abort();
  await Promise.all(sessions);
  await bench.close();
});

/** Files whose text is the cluster's name, so that tests decide what they say. */
const renderName: Render = ({ header }) => ({ artifact: artifactOf(header.serviceCluster), findings: [] });

/** A model whose `mark` is the text of its file. */
function marked(mark: string): ClusterModel {
  const model = sampleModel('{}');
  return { ...model, header: { ...model.header, serviceCluster: mark, optionsJson: '{}' } };
}

interface Checked {
  readonly check: Check;
  readonly texts: string[];
}

function checker(answer: (text: string) => CheckOutcome | Promise<CheckOutcome> = () => ({ kind: 'passed' })): Checked {
  const texts: string[] = [];
  return {
    texts,
    check: async (files) => {
      const text = Buffer.from(files[0]?.bytes ?? []).toString();
      texts.push(text);
      return answer(text);
    },
  };
}

function start(port: number, parts: { readonly check: Check; readonly render?: Render; readonly clock?: Clock }): void {
  const all = {
    render: renderName,
    client: bench.connect(port),
    serverInfo: 'test',
    logger: silent,
    clock: systemClock,
    backoff: QUICK,
  };
  sessions.push(runSession({ ...all, ...parts }, abort.signal));
}

function textsOf({ submissions }: FakeCore): string[] {
  return submissions.map(({ manifest }) => digests.get(manifest.digest) ?? 'unknown');
}
const digests = new Map(
  ['a', 'b', 'c', 'bad', ...Array.from({ length: 40 }, (_, index) => String(index))].map((text) => [
    artifactOf(text).digest,
    text,
  ]),
);

describe('the whole check of a large cluster', () => {
  /** Many entries, of which one differs with the mark, so that a part is checked first. */
  function large(mark: number): ClusterModel {
    const model = sampleModel('{}', 300);
    const pools = model.pools.map((pool, at) => (at === 7 ? { ...pool, services: [`s${mark}`] } : pool));
    return { ...model, header: { ...model.header, optionsJson: '{}' }, pools };
  }
  const renderPool: Render = ({ pools }) => ({
    artifact: artifactOf(`${pools.length} ${pools.find(({ id }) => id === 'h000007.local/')?.services[0]}`),
    findings: [],
  });
  const pendings = ({ submissions }: FakeCore) => submissions.map(({ checkPending }) => checkPending === true);

  it('comes later than the file, so that the proxies have the processor', async () => {
    const core = createFakeCore();
    core.messages.set(full(large(1), 1));
    const { port } = await bench.serve(core.handlers);
    const clock = createManualClock();
    start(port, { check: checker().check, render: renderPool, clock });
    await appears(() => core.submissions[0]);
    core.messages.set(patch(large(1), large(2), 2));
    await appears(() => core.submissions[1]);
    await appears(() => (clock.sleepers() > 0 ? true : undefined));
    expect(pendings(core)).toEqual([false, true]);
    await clock.advance(2_000);
    await appears(() => core.submissions[2]);
    expect(pendings(core)).toEqual([false, true, false]);
  });

  it('comes at once where core waits for it', async () => {
    const core = createFakeCore();
    core.messages.set(full(large(1), 1));
    const { port } = await bench.serve({
      ...core.handlers,
      submitArtifact: async (caller, submission, signal) => {
        const outcome = await core.handlers.submitArtifact(caller, submission, signal);
        return outcome.kind === 'accepted' && submission.checkPending ? { ...outcome, awaitsCheck: true } : outcome;
      },
    });
    start(port, { check: checker().check, render: renderPool, clock: createManualClock() });
    await appears(() => core.submissions[0]);
    core.messages.set(patch(large(1), large(2), 2));
    await appears(() => core.submissions[2]);
    expect(pendings(core)).toEqual([false, true, false]);
  });
});

describe('the extension', () => {
  it('submits what it rendered, with the blobs that are new', async () => {
    const core = createFakeCore();
    core.messages.set(full(marked('a'), 1));
    const { port } = await bench.serve(core.handlers);
    start(port, checker());
    const submission = await appears(() => core.submissions[0]);
    expect(submission.revision.digest).toBe(digestModel(marked('a')));
    expect(Buffer.from(submission.blobs[0]?.bytes ?? []).toString()).toBe('a');
  });

  it('says so when the file is larger than core takes, and goes on with the next', async () => {
    const huge = artifactOf('x'.repeat(17 * 1024 * 1024));
    const core = createFakeCore();
    core.messages.set(full(marked('a'), 1));
    const { port } = await bench.serve(core.handlers);
    const render: Render = (model, ...rest) =>
      model.header.serviceCluster === 'a' ? { artifact: huge, findings: [] } : renderName(model, ...rest);
    start(port, { check: checker().check, render });
    const refused = await appears(() => core.refusals[0]);
    expect(refused.reason).toContain('more than core takes');
    expect(refused.findings.map(({ code }) => code)).toEqual(['PUBLISH.CONFIG_TOO_LARGE']);
    core.messages.set(full(marked('b'), 2));
    await appears(() => core.submissions[0]);
    expect(textsOf(core)).toEqual(['b']);
  });

  it('renders the newest of a burst, not each', async () => {
    let release: (() => void) | undefined;
    const checked = checker((text) =>
      text === '0'
        ? new Promise((resolve) => {
            release = () => resolve({ kind: 'passed' });
          })
        : { kind: 'passed' },
    );
    const core = createFakeCore();
    core.messages.set(full(marked('0'), 0));
    const { port } = await bench.serve(core.handlers);
    start(port, checked);
    const go = await appears(() => release);
    for (let index = 1; index < 40; index += 1) {
      core.messages.set(full(marked(String(index)), index));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    go();
    await appears(() => textsOf(core).at(-1) === '39');
    // Those that were still travelling when the first check ended are rendered too.
    expect(textsOf(core).length).toBeLessThan(10);
  });

  it('refuses with the words of NGINX, goes on, and never asks NGINX twice about one artifact', async () => {
    const checked = checker((text) =>
      text === 'bad' ? { kind: 'failed', words: 'nginx: [emerg] no "such" thing' } : { kind: 'passed' },
    );
    const core = createFakeCore();
    core.messages.set(full(marked('bad'), 1));
    const { port } = await bench.serve(core.handlers);
    start(port, checked);
    const refusal = await appears(() => core.refusals[0]);
    expect(refusal).toMatchObject({
      reason: 'nginx: [emerg] no "such" thing',
      findings: [{ code: 'RENDER.CHECK_FAILED', serviceCluster: 'bad' }],
    });

    core.messages.set(full(marked('a'), 2));
    await appears(() => core.submissions[0]);
    core.messages.set(full(marked('bad'), 3));
    await appears(() => core.refusals[1]);
    core.messages.set(full(marked('a'), 4));
    await appears(() => core.submissions[1]);
    expect(checked.texts).toEqual(['bad', 'a']);
    expect(textsOf(core)).toEqual(['a', 'a']);
  });

  it('refuses a Config table that it cannot use, naming the key', async () => {
    const model = marked('a');
    const core = createFakeCore();
    core.messages.set(full({ ...model, header: { ...model.header, optionsJson: '{"MaxConnections":"many"}' } }, 1));
    const { port } = await bench.serve(core.handlers);
    start(port, checker());
    const refusal = await appears(() => core.refusals[0]);
    expect(refusal.reason).toContain('Extensions.default.Config.MaxConnections');
  });

  it('refuses when the renderer fails, and goes on', async () => {
    const render: Render = (model, options, context) => {
      if (model.header.serviceCluster === 'bad') {
        throw new Error('no such pool');
      }
      return renderName(model, options, context);
    };
    const core = createFakeCore();
    core.messages.set(full(marked('bad'), 1));
    const { port } = await bench.serve(core.handlers);
    start(port, { ...checker(), render });
    expect(await appears(() => core.refusals[0])).toMatchObject({ reason: 'rendering failed: no such pool' });
    core.messages.set(full(marked('a'), 2));
    await appears(() => core.submissions[0]);
  });

  it('submits unchecked files where NGINX is missing', async () => {
    const core = createFakeCore();
    core.messages.set(full(marked('a'), 1));
    const { port } = await bench.serve(core.handlers);
    start(
      port,
      checker(() => ({ kind: 'unavailable', why: 'not here' })),
    );
    await appears(() => core.submissions[0]);
  });

  it('tells a restarted core what it rendered: the manifest first, blobs when asked, without a second check', async () => {
    const checked = checker();
    const core = createFakeCore();
    core.messages.set(full(marked('a'), 1));
    const { port, server } = await bench.serve(core.handlers);
    start(port, checked);
    await appears(() => core.submissions[0]);
    await server.stop(0);

    const again = createFakeCore();
    again.messages.set(full(marked('a'), 1, 'life2'));
    await bench.serve(again.handlers, port);
    await appears(() => again.submissions[1]);
    expect(again.submissions.map(({ blobs }) => blobs.length)).toEqual([0, 1]);
    expect(again.submissions[0]?.revision.epoch).toBe('life2');
    expect(checked.texts).toEqual(['a']);
  });

  it('repeats a submission that core did not answer', async () => {
    let attempts = 0;
    const core = createFakeCore({
      submitArtifact: () => {
        attempts += 1;
        return attempts < 4
          ? Promise.reject(new OperationalError('ENGINE.UNREACHABLE', 'later'))
          : Promise.resolve({ kind: 'accepted' });
      },
    });
    core.messages.set(full(marked('a'), 1));
    const { port } = await bench.serve(core.handlers);
    start(port, checker());
    await appears(() => attempts === 4);
  });

  it('turns to a newer model instead of repeating an old one', async () => {
    const revisions: number[] = [];
    const core = createFakeCore({
      submitArtifact: (_caller, { revision }) => {
        revisions.push(revision.sequence);
        return revision.sequence === 1
          ? Promise.reject(new OperationalError('ENGINE.UNREACHABLE', 'later'))
          : Promise.resolve({ kind: 'accepted' });
      },
    });
    core.messages.set(full(marked('a'), 1));
    const { port } = await bench.serve(core.handlers);
    start(port, checker());
    await appears(() => revisions.length > 1);
    core.messages.set(full(marked('b'), 2));
    await appears(() => revisions.includes(2));
    const settled = revisions.length;
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(revisions.slice(settled)).toEqual([]);
  });

  it('submits a change in a large file at once, and again when the whole was checked', async () => {
    const base = sampleModel('{}', 500);
    const large: ClusterModel = { ...base, header: { ...base.header, optionsJson: '{}' } };
    const [first] = large.pools;
    const next: ClusterModel = {
      ...large,
      pools: large.pools.map((each) => (each === first ? { ...each, services: ['another'] } : each)),
    };
    let release: (() => void) | undefined;
    const checked = checker((text) =>
      text === 'next' ? new Promise((resolve) => (release = () => resolve({ kind: 'passed' }))) : { kind: 'passed' },
    );
    const render: Render = ({ pools }) => {
      const isNext = pools.some(({ services }) => services.includes('another'));
      return { artifact: artifactOf(pools.length < 500 ? 'part' : isNext ? 'next' : 'base'), findings: [] };
    };
    const core = createFakeCore();
    core.messages.set(full(large, 1));
    const { port } = await bench.serve(core.handlers);
    start(port, { ...checked, render });
    await appears(() => core.submissions[0]);
    core.messages.set(patch(large, next, 2));
    await appears(() => core.submissions.find(({ checkPending }) => checkPending === true));
    const go = await appears(() => release);
    expect(checked.texts).toEqual(['base', 'part', 'next']);
    expect(core.submissions.at(-1)?.checkPending).toBe(true);
    go();
    const last = await appears(() =>
      core.submissions.find(({ revision, checkPending }) => revision.sequence === 2 && checkPending !== true),
    );
    expect(last.manifest.digest).toBe(artifactOf('next').digest);
  });

  it('ends with its signal while NGINX checks', async () => {
    const core = createFakeCore();
    core.messages.set(full(marked('a'), 1));
    const { port } = await bench.serve(core.handlers);
    let checking: AbortSignal | undefined;
    const check: Check = (_files, _main, signal) => {
      checking = signal;
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    };
    start(port, { check });
    await appears(() => checking);
    abort.abort();
    await Promise.all(sessions);
    await appears(() => core.watchers[0]?.signal.aborted);
  });
});
