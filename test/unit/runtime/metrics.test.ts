import { describe, expect, it } from 'vitest';
import { AGENT_METRICS, AGENT_STAGES, parseStubStatus } from '../../../src/agent/metrics.ts';
import { CORE_METRICS, CORE_STAGES } from '../../../src/core/metrics/definitions.ts';
import { EXTENSION_METRICS, EXTENSION_STAGES } from '../../../src/extension/metrics.ts';
import { createMetrics, type MetricTable } from '../../../src/runtime/metrics.ts';

const TABLE = {
  t_things_total: { kind: 'counter', help: 'Things', labels: ['kind'] },
  t_kept_total: { kind: 'counter', help: 'Kept elsewhere' },
  t_here: { kind: 'gauge', help: 'Here', labels: ['who'] },
  t_alone: { kind: 'gauge', help: 'Alone' },
  t_seconds: { kind: 'histogram', help: 'Times', labels: ['stage'], buckets: [0.1, 1] },
} as const satisfies MetricTable;

describe('createMetrics', () => {
  it('prints what was counted, set and timed, times in seconds', async () => {
    const metrics = createMetrics(TABLE);
    metrics.add('t_things_total', { kind: 'a' });
    metrics.add('t_things_total', { kind: 'a' }, 2);
    metrics.set('t_alone', {}, true);
    metrics.observe('t_seconds', { stage: 'x' }, 500);
    const text = await metrics.text();
    expect(text).toContain('t_things_total{kind="a"} 3\n');
    expect(text).toContain('t_alone 1\n');
    expect(text).toContain('t_seconds_bucket{le="0.1",stage="x"} 0\n');
    expect(text).toContain('t_seconds_bucket{le="1",stage="x"} 1\n');
    expect(text).toContain('t_seconds_sum{stage="x"} 0.5\n');
  });

  it('takes over a counter that somebody else keeps, and a clock that was set back', async () => {
    const metrics = createMetrics(TABLE);
    metrics.total('t_kept_total', {}, 7);
    metrics.total('t_kept_total', {}, 9);
    metrics.observe('t_seconds', { stage: 'x' }, -5);
    expect(await metrics.text()).toContain('t_kept_total 9\n');
    expect(await metrics.text()).toContain('t_seconds_sum{stage="x"} 0\n');
  });

  it('forgets what is gone: gauges with labels hold what the last look found', async () => {
    const metrics = createMetrics(TABLE);
    const here = new Set(['a', 'b']);
    metrics.onScrape(() => {
      for (const who of here) {
        metrics.set('t_here', { who }, 1);
      }
    });
    expect(await metrics.text()).toContain('t_here{who="a"} 1');
    here.delete('a');
    const text = await metrics.text();
    expect(text).not.toContain('who="a"');
    expect(text).toContain('t_here{who="b"} 1');
  });

  it('answers without what could not be read', async () => {
    const metrics = createMetrics(TABLE);
    metrics.onScrape(() => {
      throw new Error('no');
    });
    metrics.onScrape(() => Promise.reject(new Error('no')));
    metrics.add('t_things_total', { kind: 'a' });
    expect(await metrics.text()).toContain('t_things_total{kind="a"} 1');
  });

  it('escapes what would break the format', async () => {
    const metrics = createMetrics(TABLE);
    metrics.add('t_things_total', { kind: 'a"}\n evil 1' });
    expect((await metrics.text()).split('\n')).not.toContain(' evil 1');
  });

  it('reads once for all who ask at the same time', async () => {
    const metrics = createMetrics(TABLE);
    let reads = 0;
    metrics.onScrape(() => {
      reads += 1;
    });
    const [one, other] = await Promise.all([metrics.text(), metrics.text()]);
    expect([reads, one === other]).toEqual([1, true]);
  });
});

describe('the tables', () => {
  const all = [...Object.entries({ ...CORE_METRICS, ...EXTENSION_METRICS, ...AGENT_METRICS })] as [
    string,
    MetricTable[string],
  ][];

  it.each(all)('%s is named as Prometheus has it', (name, { kind, labels = [] }) => {
    expect(name).toMatch(/^(?:interlock|process|nodejs)_[a-z0-9_]+$/);
    expect(name.endsWith('_total')).toBe(kind === 'counter');
    expect(kind !== 'histogram' || name.endsWith('_seconds')).toBe(true);
    // A label that grows with what is routed makes a large cluster dear: it is for what is asked for, and bounded.
    for (const label of labels.filter((of) => !(name.startsWith('interlock_route_') && /^(?:host|path)$/.test(of)))) {
      expect(label).toMatch(
        /^(?:stage|extension|outcome|kind|code|severity|call|source|state|component|version|node)$/,
      );
    }
  });

  it('no stage is measured in two places', () => {
    const stages = [CORE_STAGES, EXTENSION_STAGES, AGENT_STAGES].flatMap((of) => Object.keys(of));
    expect(new Set(stages).size).toBe(stages.length);
  });
});

describe('parseStubStatus', () => {
  it("reads NGINX's words", () => {
    const words =
      'Active connections: 3 \nserver accepts handled requests\n 16 15 31 \nReading: 0 Writing: 1 Waiting: 2 \n';
    expect(parseStubStatus(words)).toEqual({
      accepted: 16,
      handled: 15,
      requests: 31,
      reading: 0,
      writing: 1,
      waiting: 2,
    });
  });

  it.each(['', 'ok', '<html>', 'Active connections: 3'])('takes nothing from %j', (text) => {
    expect(parseStubStatus(text)).toBeUndefined();
  });
});
