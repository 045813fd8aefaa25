/** Core's metrics and readiness while an extension works for it, against the fake Engine. Those of extension and agent: the main job on a real Swarm. */
import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { type Daemons, prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/nginx.ts';

let fake: FakeEngine;
let daemons: Daemons;
let base: string;
let network: string;

beforeEach(async () => {
  fake = await createFakeEngine({ nodes: [{ hostname: 'm1', role: 'manager' }] });
  network = fake.swarm.addNetwork('app');
  const port = await freePort();
  base = `http://127.0.0.1:${port}`;
  daemons = await prepareDaemons(
    fake,
    `MetricsListenAddr = "127.0.0.1:${port}"
[Extensions.default]
Image = "interlock/extension:dev"
ServiceName = "interlock-extension"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "interlock-proxy"
HitlessServiceUpdate = false
`,
  );
});

afterEach(async () => {
  await daemons.stopAll();
  await fake.close();
});

async function ask(path: string): Promise<{ readonly status: number; readonly body: string }> {
  const { statusCode, body } = await request(`${base}${path}`, { reset: true });
  return { status: statusCode, body: await body.text() };
}

function addApp(name: string, lb: Readonly<Record<string, string>>): void {
  fake.swarm.addService({
    Name: name,
    Labels: Object.fromEntries(Object.entries(lb).map(([key, value]) => [`com.docker.lb.${key}`, value])),
    Mode: { Replicated: { Replicas: 1 } },
    TaskTemplate: { ContainerSpec: { Image: 'app:1' }, Networks: [{ Target: network }] },
  });
}

/** Names and labels of all series, values left out. */
async function series(): Promise<readonly string[]> {
  const { body } = await ask('/metrics');
  return body.split('\n').flatMap((line) => (line === '' || line.startsWith('#') ? [] : [line.replace(/ \S+$/, '')]));
}

const untilMetric = (pattern: RegExp): Promise<string> =>
  eventually(
    async () => {
      const { body } = await ask('/metrics');
      expect(body).toMatch(pattern);
      return body;
    },
    { timeoutMs: 20_000, everyMs: 100 },
  );

describe('core', { timeout: 60_000 }, () => {
  it('is alive at once and ready when every cluster was published', async () => {
    daemons.startCore();
    await eventually(async () => (await ask('/healthz')).status === 200);
    await eventually(async () => {
      expect(await ask('/readyz')).toEqual({ status: 503, body: 'not published yet: default\n' });
    });
    daemons.startExtension();
    addApp('demo', { hosts: 'demo.local', port: '8080' });
    await eventually(
      async () => {
        expect(await ask('/readyz')).toEqual({ status: 200, body: 'ready: every cluster is published\n' });
      },
      { timeoutMs: 20_000 },
    );
    expect((await ask('/metrics')).body).toMatch(/^interlock_core_ready 1$/m);
  });

  it('counts what it does', async () => {
    daemons.startCore();
    daemons.startExtension();
    addApp('demo', { hosts: 'demo.local', port: '8080' });
    addApp('bad', { hosts: 'bad.local' });
    await untilMetric(/^interlock_core_hosts\{extension="default"\} 1$/m);
    const body = await untilMetric(/^interlock_core_artifacts_total\{extension="default",outcome="accepted"\} [1-9]/m);
    expect(body).toMatch(/^interlock_core_findings\{code="LABEL.PORT_MISSING",severity="error"\} 1$/m);
    expect(body).toMatch(/^interlock_core_extension_connected\{extension="default"\} 1$/m);
    expect(body).toMatch(/^interlock_core_task_feed\{kind="poll"\} 1$/m);
    expect(body).toMatch(/^interlock_core_events_total\{source="engine",kind="service"\} [1-9]/m);
    expect(body).toMatch(/^interlock_core_docker_call_seconds_count\{call="listServices"\} [1-9]/m);
    expect(body).toMatch(/^interlock_core_grpc_calls_total\{call="interlock.v1.Artifacts\/Submit",code="OK"\} [1-9]/m);
    expect(body).toMatch(/^interlock_convergence_stage_seconds_count\{stage="build"\} [1-9]/m);
    expect(body).toMatch(/^interlock_convergence_stage_seconds_count\{stage="answer"\} [1-9]/m);
    await untilMetric(/^interlock_convergence_stage_seconds_count\{stage="store"\} [1-9]/m);
    await untilMetric(/^interlock_build_info\{component="core",version="0.0.0",node="/m);
  });

  it('has no more series for more hosts', async () => {
    daemons.startCore();
    daemons.startExtension();
    addApp('first', { hosts: 'first.local', port: '8080' });
    await untilMetric(/^interlock_core_artifacts_total\{extension="default",outcome="accepted"\} [1-9]/m);
    for (let at = 0; at < 100; at += 1) {
      addApp(`more-${at}`, { hosts: `more-${at}.local`, port: '8080' });
    }
    await untilMetric(/^interlock_core_hosts\{extension="default"\} 101$/m);
    const all = await series();
    expect(all.filter((name) => name.includes('more-'))).toEqual([]);
    expect(all.length).toBeLessThan(1_000);
  });
});
