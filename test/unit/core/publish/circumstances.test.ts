/** What is stored and mounted next, when the newest file is refused or not checked yet. */
import { describe, expect, it } from 'vitest';
import { createBoard } from '../../../../src/core/board.ts';
import { createDockerodeEngine } from '../../../../src/core/engine/dockerode-engine.ts';
import { lookAround } from '../../../../src/core/publish/circumstances.ts';
import { createMemory } from '../../../../src/core/publish/memory.ts';
import type { Observed } from '../../../../src/core/publish/plan.ts';
import { createWatches } from '../../../../src/core/publish/publishing.ts';
import { createArtifact } from '../../../../src/model/artifact.ts';
import { findingKey } from '../../../../src/model/finding.ts';
import type { Snapshot } from '../../../../src/model/snapshot.ts';
import { createCell } from '../../../../src/runtime/cell.ts';
import { createManualClock } from '../../../fakes/manual-clock.ts';
import { extensionSettings } from '../../../support/settings.ts';
import { network, secret, snapshot, task } from '../../../support/snapshots.ts';
import { silent } from '../../../support/wire.ts';

const artifactOf = (text: string) =>
  createArtifact([{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) }]);
const digestOf = (text: string) => artifactOf(text).digest;

/** One proxy task runs, and its agent has a session. */
function setUp(networks?: readonly string[]) {
  const settings = { ...extensionSettings(), hitless: true, networks };
  const board = createBoard([settings], findingKey, { onNew: () => undefined, onGone: () => undefined });
  const extension = board.extensions.get('default');
  if (extension === undefined) {
    throw new Error('no extension');
  }
  const clock = createManualClock();
  const engine = createDockerodeEngine({ dockerUrl: 'unix:///nowhere.sock' }); // nothing is asked of it
  const publishing = {
    engine,
    clock,
    logger: silent,
    board,
    extension,
    home: { serviceId: undefined, stack: undefined, controlNetworkIds: [], endpoint: 'core:7000' },
    snapshots: createCell<Snapshot>(),
    patience: { networkLingerMs: 300_000, proxyConfigRefreshMs: 0 },
    memory: createMemory(clock),
    watches: createWatches(engine, clock),
  };
  const observed: Observed = {
    extension: undefined,
    proxy: {
      id: 'px',
      name: settings.proxyServiceName,
      version: 1,
      labels: {},
      spec: {},
      previousSpec: undefined,
      updateState: 'none',
      updateMessage: undefined,
    },
    configs: [],
    referredConfigIds: new Set(),
  };
  const seen = snapshot({ tasks: [task({ id: 't1', serviceId: 'px' })] });
  const renderedAs = (text: string, sequence: number, secrets: readonly string[] = []) => ({
    revision: { digest: text, sequence, versionIndex: sequence },
    artifact: artifactOf(text),
    requirements: { networks: [], secrets: secrets.map(secret) },
  });
  return {
    extension,
    renderedAs,
    agent(serves: string, refuses?: string, taskId = 't1') {
      const refused = refuses === undefined ? {} : { refused: { artifactDigest: digestOf(refuses), reason: 'no' } };
      const session = { taskId, nodeId: 'n', artifactDigest: digestOf(serves), connectedAtMs: 0, ...refused };
      const others = (extension.agents.get()?.sessions ?? []).filter((other) => other.taskId !== taskId);
      extension.agents.set({ sessions: [...others, session] });
    },
    look: () => lookAround(publishing, seen, observed).desired.delivery,
    lookAt: (parts: Partial<Snapshot>) => lookAround(publishing, { ...seen, ...parts }, observed),
  };
}

describe('what is stored and mounted next', () => {
  it('is not what all agents refuse, although it was looked at before they answered', () => {
    const { extension, renderedAs, agent, look } = setUp();
    agent('A');
    extension.rendered.set(renderedAs('A', 1));
    expect(look()?.artifact.digest).toBe(digestOf('A'));
    extension.rendered.set(renderedAs('B', 2, ['new']));
    expect(look()?.artifact.digest).toBe(digestOf('B'));
    agent('A', 'B');
    expect(look()).toMatchObject({ artifact: artifactOf('A'), requirements: { secrets: [] } });
  });

  it('is not what was refused before either, when the next one is refused too', () => {
    const { extension, renderedAs, agent, look } = setUp();
    agent('A');
    extension.rendered.set(renderedAs('A', 1));
    look();
    for (const [at, bad] of ['B', 'C', 'D'].entries()) {
      extension.rendered.set(renderedAs(bad, at + 2));
      look();
      agent('A', bad);
      expect(look()?.artifact.digest).toBe(digestOf('A'));
    }
  });

  it('is not decided by sessions of tasks that Swarm does not run', () => {
    const { extension, renderedAs, agent, look } = setUp();
    agent('A');
    extension.rendered.set(renderedAs('A', 1));
    look();
    extension.rendered.set(renderedAs('B', 2));
    agent('A', 'B', 'invented');
    expect(look()?.artifact.digest).toBe(digestOf('B'));
    agent('A', 'B');
    agent('B', undefined, 'invented');
    expect(look()?.artifact.digest).toBe(digestOf('A'));
  });

  it('is the newest that was checked as a whole while changes come faster than checks, with what that one needs', () => {
    const { extension, renderedAs, agent, look } = setUp();
    agent('0');
    extension.rendered.set(renderedAs('0', 0));
    extension.confirmed.set(renderedAs('0', 0));
    look();
    for (let sequence = 3; sequence <= 6; sequence += 1) {
      extension.rendered.set({ ...renderedAs(String(sequence), sequence), checkPending: true });
      agent(String(sequence));
      extension.confirmed.set(renderedAs(String(sequence - 2), sequence - 2, [`s${sequence - 2}`]));
      expect(look()).toMatchObject({
        artifact: artifactOf(String(sequence - 2)),
        requirements: { secrets: [`s${sequence - 2}`] },
      });
    }
  });

  it('has passed its check when an older revision with the same bytes did', () => {
    const { extension, renderedAs, agent, look } = setUp();
    agent('A');
    extension.confirmed.set(renderedAs('A', 1));
    extension.rendered.set({ ...renderedAs('A', 2, ['new']), checkPending: true });
    expect(look()?.requirements.secrets).toEqual(['new']);
  });
});

/** As `GET /networks` of one engine has them: its own, and those of the Swarm. */
const LISTED = [
  network({ id: 'o1', name: 'front' }),
  network({ id: 'l1', name: 'front', driver: 'bridge', scope: 'local' }),
  network({ id: 'l2', name: 'bridge', driver: 'bridge', scope: 'local' }),
  network({ id: 'l3', name: 'host', driver: 'host', scope: 'local' }),
  network({ id: 'i1', name: 'ingress', ingress: true }),
];

describe('Networks', () => {
  it.each([
    ['first', LISTED],
    ['last', [...LISTED].reverse()],
  ])(
    "are the Swarm's, also beside one of the node's own that has the same name, with the overlay listed %s",
    (_, networks) => {
      const { desired, findings } = setUp(['front']).lookAt({ networks });
      expect(desired.networks.get('front')).toBe('o1');
      expect(findings).toEqual([]);
    },
  );

  it.each(['bridge', 'host', 'ingress'])('that no proxy can join are unknown, and the finding says why: %s', (name) => {
    const { desired, findings } = setUp(['front', name]).lookAt({ networks: LISTED });
    expect(desired.networks.get(name)).toBeUndefined();
    expect(findings).toMatchObject([
      {
        code: 'PUBLISH.NETWORK_UNKNOWN',
        value: name,
        advice: expect.stringContaining('of one node alone, or the ingress network') as unknown,
      },
    ]);
  });

  it('that are nowhere are to be created', () => {
    const { findings } = setUp(['nowhere']).lookAt({ networks: LISTED });
    expect(findings).toMatchObject([
      { code: 'PUBLISH.NETWORK_UNKNOWN', advice: expect.stringContaining('create it') as unknown },
    ]);
  });
});
