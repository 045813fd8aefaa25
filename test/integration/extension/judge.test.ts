/** The extension's judgement with the real renderer and a real NGINX. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Check, createCheck } from '../../../src/extension/check.ts';
import { createJudge, type Verdict } from '../../../src/extension/judge.ts';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { upstreamName } from '../../../src/render/nginx/upstreams.ts';
import { nginxRoot } from '../../support/nginx.ts';
import { local, model } from '../../support/render-models.ts';
import { revisionOf, silent } from '../../support/wire.ts';
import { nginxScript } from '../agent/real-nginx.ts';

const signal = new AbortController().signal;
let home: string;
let check: Check;
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'interlock-judge-'));
  check = createCheck({ binary: await nginxScript(home, await nginxRoot()), tempParents: [home] });
}, 120_000);
afterAll(() => rm(home, { recursive: true, force: true }));

function cluster(config: Readonly<Record<string, readonly string[]>>): ClusterModel {
  const hosts = Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((name) => [`${name}.local`, { '/': local(8001) }]));
  const plain = model(hosts, { optionsJson: JSON.stringify(config) });
  return { ...plain, pools: plain.pools.map((pool) => ({ ...pool, services: [`of-${pool.id[0] ?? ''}`] })) };
}

function judge(asked: ClusterModel): Promise<Verdict> {
  const judge = createJudge({ render: renderNginx, check, serverInfo: 'test', logger: silent });
  return judge.judge({ revision: revisionOf(asked, 1), model: asked, connection: 1 }, signal);
}

it('leaves out the one service whose upstream the operator has defined already, with the words of NGINX', async () => {
  const line = `upstream ${upstreamName('c.local/')} { server 127.0.0.1:1; }`;
  const verdict = await judge(cluster({ HTTPOptions: [line] }));
  expect(verdict).toMatchObject({
    kind: 'usable',
    findings: [
      {
        code: 'RENDER.SERVICE_LEFT_OUT',
        service: 'of-c',
        advice: expect.stringContaining('duplicate upstream') as string,
      },
    ],
  });
  const others: ClusterModel = {
    ...cluster({ HTTPOptions: [line] }),
    hosts: cluster({}).hosts.filter(({ host }) => host !== 'c.local'),
    pools: cluster({}).pools.filter(({ id }) => id !== 'c.local/'),
  };
  const alone = await judge(others);
  expect(verdict.kind === 'usable' && verdict.artifact.digest).toBe(alone.kind === 'usable' && alone.artifact.digest);
}, 60_000);

it.each([
  ['GlobalOptions', 'wrker_priority 1;'],
  ['HTTPOptions', 'proxy_buffering perhaps;'],
  ['TCPOptions', 'server { listen 1; nonsense; }'],
])(
  'names the line of %s that NGINX refuses, and leaves nobody out',
  async (key, line) => {
    const fine: Readonly<Record<string, readonly string[]>> = {
      HTTPOptions: ['gzip on;'],
      GlobalOptions: ['worker_priority 1;'],
    };
    const verdict = await judge(cluster({ ...fine, [key]: [...(fine[key] ?? []), line] }));
    expect(verdict).toMatchObject({
      kind: 'refused',
      findings: [{ code: 'RENDER.CHECK_FAILED', subject: `Extensions.default.Config.${key}`, value: line }],
    });
  },
  60_000,
);
