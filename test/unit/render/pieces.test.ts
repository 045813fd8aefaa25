/** A large file is the same file in pieces, and a change of it is a change of few of them. */
import { describe, expect, it } from 'vitest';
import { joined, type Piece } from '../../../src/model/artifact.ts';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { comment, directive, type Node, printed, printNodes, printPieces } from '../../../src/render/nginx/syntax.ts';
import { DEFAULT_NGINX_OPTIONS } from '../../../src/settings/nginx-options.ts';
import { ip, port } from '../../support/snapshots.ts';
import { sampleModel } from '../../support/wire.ts';

function withEndpoints(model: ClusterModel, last: number): ClusterModel {
  const endpoint = (at: number) => ({
    address: ip(`10.0.${at >> 8}.${at & 255}`),
    port: port(80),
    weight: 1,
    source: { kind: 'task', taskId: `t${at}`, nodeId: 'n' } as const,
  });
  return { ...model, pools: model.pools.map((pool, at) => ({ ...pool, endpoints: [endpoint(at), endpoint(last)] })) };
}

function piecesOf(model: ClusterModel): readonly Piece[] {
  const { artifact } = renderNginx(model, DEFAULT_NGINX_OPTIONS, { serverInfo: 'test' });
  return artifact.files[0]?.pieces ?? [];
}

describe('a file in pieces', () => {
  it.each([1, 50])('is one piece with %i hosts', (hosts) => {
    expect(piecesOf(withEndpoints(sampleModel('', hosts), 9_999))).toHaveLength(1);
  });

  it('is many with 3,000 hosts, each ends with a line, and one changed pool is one changed piece', () => {
    const before = withEndpoints(sampleModel('', 3_000), 9_999);
    const pools = before.pools.map((pool, at) =>
      at === 1_234 ? { ...pool, endpoints: pool.endpoints.slice(1) } : pool,
    );
    const [old, fresh] = [piecesOf(before), piecesOf({ ...before, pools })];
    expect(old.length).toBeGreaterThan(20);
    expect(old.every(({ bytes }) => bytes.at(-1) === 10 && bytes.byteLength <= 320 * 1024)).toBe(true);
    const known = new Set(old.map(({ digest }) => digest));
    expect(fresh.filter(({ digest }) => !known.has(digest))).toHaveLength(1);
    expect(fresh.filter((piece) => old.includes(piece)).length).toBeGreaterThanOrEqual(old.length - 8);
  });

  it('keeps the borders of the others when a host comes', () => {
    const all = withEndpoints(sampleModel('', 3_000), 9_999);
    const fewer = { ...all, hosts: all.hosts.toSpliced(777, 1), pools: all.pools.toSpliced(777, 1) };
    const known = new Set(piecesOf(fewer).map(({ digest }) => digest));
    expect(piecesOf(all).filter(({ digest }) => !known.has(digest)).length).toBeLessThanOrEqual(3);
  });

  it('has the bytes of the whole, whatever it is made of', () => {
    const line = (at: number): Node => directive('set', `v${at}`, 'x'.repeat(900));
    const nodes = Array.from({ length: 600 }, (_, at) =>
      at % 7 === 0 ? comment(`line ${at}`) : printed(line(at), 0, { isBorder: at % 50 === 1 }),
    );
    for (const count of [0, 1, 10, 600]) {
      const some = nodes.slice(0, count);
      expect(Buffer.from(joined(printPieces(some))).toString()).toBe(printNodes(some));
    }
  });
});
