import { describe, expect, it } from 'vitest';
import type { Check } from '../../../src/extension/check.ts';
import type { Render } from '../../../src/extension/draft.ts';
import { createJudge, type Judge, type Verdict } from '../../../src/extension/judge.ts';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { local, model } from '../../support/render-models.ts';
import { artifactOf, revisionOf, silent } from '../../support/wire.ts';

const signal = new AbortController().signal;

/** One line per host and pool, the raw lines first, so that tests say which lines NGINX refuses. */
const renderLines: Render = ({ hosts, pools }, { globalOptions, httpOptions, tcpOptions }) => {
  const lines = [
    ...globalOptions,
    ...httpOptions,
    ...tcpOptions,
    ...hosts.map(({ host }) => `host ${host}`),
    ...pools.map(({ id, endpoints }) => `pool ${id} ${endpoints.map((each) => each.port).join()}`),
  ];
  return { artifact: artifactOf(lines.join('\n')), findings: [] };
};

interface Bench {
  readonly judge: Judge;
  /** The text of every file that NGINX was shown. */
  readonly checked: string[];
  ask(model: ClusterModel): Promise<Verdict>;
  confirm(model: ClusterModel): Promise<Verdict>;
}

/** Refuses a file with a line that `bad` dislikes, or as a whole. */
function bench(bad: (lines: readonly string[]) => string | undefined, render: Render = renderLines): Bench {
  const checked: string[] = [];
  const check: Check = async (files) => {
    const text = Buffer.from(files[0]?.bytes ?? []).toString();
    checked.push(text);
    const lines = text.split('\n');
    const line = bad(lines);
    const words = `nginx: [emerg] cannot have "${line}" in /etc/nginx/nginx.conf:${lines.indexOf(line ?? '') + 1}`;
    return line === undefined ? { kind: 'passed' } : { kind: 'failed', words };
  };
  const judge = createJudge({ render, check, serverInfo: 'test', logger: silent });
  const followed = (asked: ClusterModel) => ({ revision: revisionOf(asked, 1), model: asked, connection: 1 });
  return {
    judge,
    checked,
    ask: (asked) => judge.judge(followed(asked), signal),
    confirm: (asked) => judge.confirm(followed(asked), signal),
  };
}

/** `n` services, each with a host and a pool of its own. */
function cluster(n: number, header: Partial<ClusterModel['header']> = {}): ClusterModel {
  const hosts = Array.from({ length: n }, (_, index) => `h${String(index).padStart(5, '0')}.local`);
  const plain = model(Object.fromEntries(hosts.map((host) => [host, { '/': local(8001) }])), header);
  return { ...plain, pools: plain.pools.map((each) => ({ ...each, services: [`of-${each.id.slice(0, 6)}`] })) };
}

function textOf(verdict: Verdict): string {
  return verdict.kind === 'usable' ? Buffer.from(verdict.artifact.files[0]?.bytes ?? []).toString() : '';
}

function hostsIn(verdict: Verdict): number {
  return textOf(verdict)
    .split('\n')
    .filter((line) => line.startsWith('host ')).length;
}

/** The same model with another endpoint in one pool. */
function withEndpoints(base: ClusterModel, index: number, port: number): ClusterModel {
  return {
    ...base,
    pools: base.pools.map((each, at) => (at === index ? { ...each, endpoints: local(port) } : each)),
  };
}

const dislikes =
  (...hosts: readonly string[]) =>
  (lines: readonly string[]) =>
    lines.find((line) => hosts.some((host) => line === `host ${host}.local`));

describe('a file that NGINX refuses', () => {
  it.each([1, 2, 3, 64, 1000])('goes out without the one offender of %i, in about 2 log2(n) checks', async (n) => {
    const { ask, checked } = bench(dislikes('h00000'));
    const verdict = await ask(cluster(n));
    expect(verdict).toMatchObject({
      kind: 'usable',
      pending: false,
      findings: [
        {
          code: 'RENDER.SERVICE_LEFT_OUT',
          severity: 'error',
          service: 'of-h00000',
          advice: expect.stringContaining('[emerg] cannot have "host h00000.local"') as string,
        },
      ],
    });
    expect(hostsIn(verdict)).toBe(n - 1);
    expect(checked.length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(n)) + 4);
  });

  it('loses all of several offenders and nobody else', async () => {
    const bad = ['h00003', 'h00004', 'h00050', 'h00099'];
    const { ask, checked } = bench(dislikes(...bad));
    const verdict = await ask(cluster(100));
    expect(verdict.findings.map(({ service }) => service)).toEqual(bad.map((name) => `of-${name}`));
    expect(hostsIn(verdict)).toBe(96);
    expect(checked.length).toBeLessThanOrEqual(4 * 2 * 7 + 3);
    const whole = textOf(await bench(() => undefined).ask(cluster(100))).split('\n');
    const left = whole.filter((line) => !bad.some((name) => line.includes(name)));
    expect(textOf(verdict)).toBe(left.join('\n'));
  });

  it('loses the newcomer of two that NGINX takes only apart', async () => {
    const clash = (lines: readonly string[]) =>
      lines.includes('host h00001.local') ? lines.find((line) => line === 'host h00006.local') : undefined;
    const { ask } = bench(clash);
    const all = cluster(8);
    const before = { ...all, hosts: all.hosts.filter(({ host }) => !host.startsWith('h00001')) };
    const without: ClusterModel = { ...before, pools: all.pools.filter(({ id }) => !id.startsWith('h00001')) };
    expect(hostsIn(await ask(without))).toBe(7);
    const verdict = await ask(all);
    expect(verdict.findings).toMatchObject([
      { service: 'of-h00001', advice: expect.stringContaining('together') as string },
    ]);
    expect(hostsIn(verdict)).toBe(7);
  });

  it('takes back one of a clash when the other is gone', async () => {
    const clash = (lines: readonly string[]) =>
      lines.includes('host h00001.local') ? lines.find((line) => line === 'host h00006.local') : undefined;
    const { ask } = bench(clash);
    const all = cluster(8);
    expect((await ask(all)).findings).toMatchObject([{ service: 'of-h00006' }]);
    const rest: ClusterModel = {
      ...all,
      hosts: all.hosts.filter(({ host }) => host !== 'h00001.local'),
      pools: all.pools.filter(({ id }) => id !== 'h00001.local/'),
    };
    const verdict = await ask(rest);
    expect(verdict.findings).toEqual([]);
    expect(hostsIn(verdict)).toBe(7);
  });

  it('does not search again when somebody else changes', async () => {
    const { ask, checked } = bench(dislikes('h00003'));
    await ask(cluster(64));
    const before = checked.length;
    const verdict = await ask(withEndpoints(cluster(64), 10, 9001));
    expect(checked.length).toBe(before + 1);
    expect(verdict.findings).toMatchObject([{ service: 'of-h00003' }]);
    expect(hostsIn(verdict)).toBe(63);
  });

  it('tries an offender again once it has changed', async () => {
    let healed = false;
    const { ask } = bench((lines) => (healed ? undefined : dislikes('h00003')(lines)));
    await ask(cluster(16));
    healed = true;
    const verdict = await ask(withEndpoints(cluster(16), 3, 9001));
    expect(verdict.findings).toEqual([]);
    expect(hostsIn(verdict)).toBe(16);
  });

  it('loses a service whose labels make the renderer throw', async () => {
    const render: Render = (asked, options, context) => {
      if (asked.hosts.some(({ host }) => host === 'h00005.local')) {
        throw new Error('cannot quote');
      }
      return renderLines(asked, options, context);
    };
    const verdict = await bench(() => undefined, render).ask(cluster(10));
    expect(verdict.findings).toMatchObject([
      { service: 'of-h00005', advice: expect.stringContaining('rendering failed: cannot quote') as string },
    ]);
    expect(hostsIn(verdict)).toBe(9);
  });

  it('is refused when every service would have to go', async () => {
    const { ask } = bench((lines) => lines.find((line) => line.startsWith('host ')));
    expect(await ask(cluster(20))).toMatchObject({ kind: 'refused', findings: [{ code: 'RENDER.CHECK_FAILED' }] });
  });

  it('is refused after a bounded number of checks', async () => {
    const { ask, checked } = bench((lines) => lines.find((line) => /^host .*[13579]\.local/.test(line)));
    expect(await ask(cluster(2000))).toMatchObject({
      kind: 'refused',
      reason: expect.stringMatching(/256 checks/) as string,
    });
    expect(checked.length).toBeLessThan(300);
  });

  it('leaves services that share a route out together', async () => {
    const plain = cluster(4);
    const shared = {
      ...plain,
      pools: plain.pools.map((each, at) => (at === 1 ? { ...each, services: ['of-h00001', 'canary'] } : each)),
    };
    const verdict = await bench(dislikes('h00001')).ask(shared);
    expect(verdict.findings).toMatchObject([
      { service: 'canary', advice: expect.stringContaining('of-h00001') as string },
    ]);
    expect(hostsIn(verdict)).toBe(3);
  });
});

describe("the operator's raw lines", () => {
  const header = (config: Record<string, readonly string[]>) => ({ optionsJson: JSON.stringify(config) });

  it('are named by key and line when they are at fault, and nobody is left out', async () => {
    const { ask, checked } = bench((lines) => lines.find((line) => line === 'prxy_buffering off;'));
    const asked = cluster(
      500,
      header({ GlobalOptions: ['pcre_jit on;'], HTTPOptions: ['gzip on;', 'prxy_buffering off;'] }),
    );
    expect(await ask(asked)).toMatchObject({
      kind: 'refused',
      findings: [
        {
          code: 'RENDER.CHECK_FAILED',
          subject: 'Extensions.default.Config.HTTPOptions',
          value: 'prxy_buffering off;',
          service: undefined,
        },
      ],
    });
    expect(checked.length).toBeLessThan(8);
  });

  it('are at fault when they break every host', async () => {
    const { ask } = bench((lines) =>
      lines.includes('breaks all;') ? lines.find((line) => line.startsWith('host ')) : undefined,
    );
    expect(await ask(cluster(12, header({ HTTPOptions: ['breaks all;'] })))).toMatchObject({
      kind: 'refused',
      findings: [{ subject: 'Extensions.default.Config.HTTPOptions', value: 'breaks all;' }],
    });
  });

  it('cost the one host that cannot live with them its route', async () => {
    const { ask } = bench((lines) => (lines.includes('odd;') ? dislikes('h00002')(lines) : undefined));
    const verdict = await ask(cluster(12, header({ HTTPOptions: ['odd;'] })));
    expect(verdict.findings).toMatchObject([{ service: 'of-h00002' }]);
    expect(hostsIn(verdict)).toBe(11);
  });

  it('are judged anew when they change', async () => {
    const { ask } = bench((lines) => (lines.includes('odd;') ? dislikes('h00002')(lines) : undefined));
    await ask(cluster(12, header({ HTTPOptions: ['odd;'] })));
    expect(hostsIn(await ask(cluster(12)))).toBe(12);
  });
});

describe('a change in a large file', () => {
  const size = 1000;

  it('is checked in a small one first, and the whole when asked to confirm', async () => {
    const { ask, confirm, checked } = bench(() => undefined);
    const base = cluster(size);
    await ask(base);
    const next = withEndpoints(base, 7, 9001);
    const verdict = await ask(next);
    expect(verdict).toMatchObject({ kind: 'usable', pending: true });
    expect(checked.at(-1)).toBe('pool h00007.local/ 9001');
    expect(hostsIn(verdict)).toBe(size);
    const confirmed = await confirm(next);
    expect(confirmed).toEqual({ ...verdict, pending: false });
    expect(checked.at(-1)).toBe(textOf(verdict));
  });

  it('loses an offender before it goes out', async () => {
    const { ask } = bench((lines) => lines.find((line) => line.endsWith(' 9001')));
    const base = cluster(size);
    await ask(base);
    const verdict = await ask(withEndpoints(base, 7, 9001));
    expect(verdict).toMatchObject({ kind: 'usable', pending: false, findings: [{ service: 'of-h00007' }] });
    expect(hostsIn(verdict)).toBe(size - 1);
  });

  it('loses an offender that only the whole shows', async () => {
    const { ask, confirm } = bench((lines) =>
      lines.length > 2 ? lines.find((line) => line.endsWith(' 9001')) : undefined,
    );
    const base = cluster(size);
    await ask(base);
    const next = withEndpoints(base, 7, 9001);
    expect(await ask(next)).toMatchObject({ pending: true, findings: [] });
    const confirmed = await confirm(next);
    expect(confirmed).toMatchObject({ kind: 'usable', pending: false, findings: [{ service: 'of-h00007' }] });
    expect(hostsIn(confirmed)).toBe(size - 1);
    // The next change elsewhere knows it.
    const later = await ask(withEndpoints(next, 8, 9002));
    expect(later).toMatchObject({ pending: true, findings: [{ service: 'of-h00007' }] });
    expect(hostsIn(later)).toBe(size - 1);
  });
});
