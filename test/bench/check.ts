/**
 * What a check costs: NGINX about the whole file, and about a skeleton that holds one changed pool.
 * In: `npx tsx test/bench/check.ts [-- --json FILE]`. Out: a table, and with `--json` an array of `{bench, hosts, check, samples, p50Ms}`.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createCheck } from '../../src/extension/check.ts';
import { createJudge } from '../../src/extension/judge.ts';
import type { ClusterModel } from '../../src/model/cluster.ts';
import { renderNginx } from '../../src/render/nginx/render.ts';
import { nginxScript } from '../integration/agent/real-nginx.ts';
import { nginxRoot } from '../support/nginx.ts';
import { local, model } from '../support/render-models.ts';
import { revisionOf, silent } from '../support/wire.ts';

const SIZES = [10, 1_000, 10_000] as const;
const SAMPLES = 5;

interface Row {
  readonly bench: 'check';
  readonly hosts: number;
  readonly check: 'change to verdict' | 'whole';
  readonly samples: number;
  readonly p50Ms: number;
}

const signal = new AbortController().signal;

function cluster(hosts: number): ClusterModel {
  const names = Array.from({ length: hosts }, (_, index) => `h${String(index).padStart(5, '0')}.example.com`);
  const plain = model(Object.fromEntries(names.map((name) => [name, { '/': local(8001, 8002, 8003) }])));
  return { ...plain, pools: plain.pools.map((pool) => ({ ...pool, services: [`of-${pool.id}`] })) };
}

function changed(base: ClusterModel, port: number): ClusterModel {
  return { ...base, pools: base.pools.map((pool, at) => (at === 3 ? { ...pool, endpoints: local(port) } : pool)) };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

async function measure(hosts: number, binary: string): Promise<readonly Row[]> {
  const judge = createJudge({
    render: renderNginx,
    check: createCheck({ binary }),
    serverInfo: 'bench',
    logger: silent,
  });
  let sequence = 0;
  const follow = (asked: ClusterModel) => {
    sequence += 1;
    return { revision: revisionOf(asked, sequence), model: asked, connection: 1 };
  };
  const base = cluster(hosts);
  await judge.judge(follow(base), signal);
  const quick: number[] = [];
  const whole: number[] = [];
  for (let sample = 0; sample < SAMPLES; sample += 1) {
    const next = follow(changed(base, 9_000 + sample));
    quick.push(await timed(() => judge.judge(next, signal)));
    // A small file is checked as a whole at once: then this asks the judge's memory.
    whole.push(await timed(() => judge.confirm(next, signal)));
  }
  const row = (check: Row['check'], values: readonly number[]): Row => ({
    bench: 'check',
    hosts,
    check,
    samples: SAMPLES,
    p50Ms: Math.round(median(values)),
  });
  return [row('change to verdict', quick), row('whole', whole)];
}

const home = await mkdtemp(path.join(tmpdir(), 'interlock-bench-'));
try {
  const binary = await nginxScript(home, await nginxRoot());
  const rows: Row[] = [];
  for (const hosts of SIZES) {
    rows.push(...(await measure(hosts, binary)));
  }
  console.table(rows);
  const at = process.argv.indexOf('--json');
  const file = at < 0 ? undefined : process.argv[at + 1];
  if (file !== undefined) {
    await writeFile(file, `${JSON.stringify(rows, null, 2)}\n`);
  }
} finally {
  await rm(home, { recursive: true, force: true });
}
