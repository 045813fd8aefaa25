/** docker/monitoring with Prometheus' own tool: the files load, each alert comes when it should, and asks for metrics that there are. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { AGENT_METRICS } from '../../../src/agent/metrics.ts';
import { CORE_METRICS } from '../../../src/core/metrics/definitions.ts';
import { EXTENSION_METRICS } from '../../../src/extension/metrics.ts';
import type { MetricTable } from '../../../src/runtime/metrics.ts';
import { runBed } from '../../support/bed.ts';

const FOLDER = fileURLToPath(new URL('../../../docker/monitoring/', import.meta.url));
const METRICS: MetricTable = { ...CORE_METRICS, ...EXTENSION_METRICS, ...AGENT_METRICS };
let promtool: string;

beforeAll(async () => {
  promtool = (await runBed('debian.sh', ['tool', 'promtool'])).stdout.trim();
}, 300_000);

async function tool(...args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(promtool, args, { cwd: FOLDER, timeout: 60_000 });
  return stdout + stderr;
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
}

async function rules(): Promise<readonly Rule[]> {
  const file = parse(await readFile(join(FOLDER, 'rules.yml'), 'utf8')) as { groups: { rules: Rule[] }[] };
  return file.groups.flatMap((group) => group.rules);
}

describe('docker/monitoring', () => {
  it('has rules that Prometheus takes', async () => {
    expect(await tool('check', 'rules', 'rules.yml')).toContain('SUCCESS');
  });

  it('has a prometheus.yml that Prometheus takes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'interlock-prometheus-'));
    try {
      // Its own paths are those inside of the container.
      const text = await readFile(join(FOLDER, 'prometheus.yml'), 'utf8');
      expect(text).toContain('/etc/prometheus/interlock-rules.yml');
      const moved = text.replace('/etc/prometheus/interlock-rules.yml', join(FOLDER, 'rules.yml'));
      await writeFile(join(folder, 'prometheus.yml'), moved);
      expect(await tool('check', 'config', join(folder, 'prometheus.yml'))).toContain('SUCCESS');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('raises each alert when it should, and none when all is well', async () => {
    expect(await tool('test', 'rules', 'rules.test.yml')).toContain('SUCCESS');
  });

  it('has a test for each alert', async () => {
    const tests = await readFile(join(FOLDER, 'rules.test.yml'), 'utf8');
    const untested = (await rules()).filter(({ alert }) => !tests.includes(alert));
    expect(untested).toEqual([]);
  });

  it('asks for metrics that there are, with labels that they have', async () => {
    const asked = (await rules()).flatMap(({ alert, expr }) =>
      [...expr.matchAll(/\b(?:interlock|process|nodejs)_[a-z_]+\b(?:\{([^}]*)\})?/g)].map(([text, labels = '']) => ({
        alert,
        name: text.replace(/\{.*/, '').replace(/_(?:bucket|sum|count)$/, ''),
        labels: [...labels.matchAll(/(\w+)\s*(?:=|!=|=~|!~)/g)].map(([, label = '']) => label),
      })),
    );
    expect(asked.length).toBeGreaterThan(10);
    // job and instance are Prometheus' own.
    const unknown = asked.filter(
      ({ name, labels }) =>
        METRICS[name] === undefined ||
        labels.some((label) => label !== 'job' && label !== 'instance' && !METRICS[name]?.labels?.includes(label)),
    );
    expect(unknown).toEqual([]);
  });

  it('is told of on a page that names its files', async () => {
    const page = await readFile(new URL('../../../docs/howto/monitoring.md', import.meta.url), 'utf8');
    for (const file of ['docker/monitoring/prometheus.yml', 'docker/monitoring/rules.yml']) {
      expect(page).toContain(file);
    }
    const named = [...page.matchAll(/\binterlock_[a-z_]+\b/g)].map(([name]) => name);
    expect(
      named.filter((name) => !(name in METRICS) && name !== 'interlock_core' && name !== 'interlock_control'),
    ).toEqual([]);
  });
});
