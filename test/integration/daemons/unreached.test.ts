/**
 * A task that dies without notice, from NGINX's error to NGINX's new file: core polls once a minute here, so that nothing but the proxy's
 * report can make it look.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { type Daemons, prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/nginx.ts';
import { tokenIn } from '../../support/tokens.ts';
import { type AgentProcess, startAgentProcess } from '../agent/agent-process.ts';

let application: Server;
let fake: FakeEngine;
let daemons: Daemons;
let port: number;
let metricsPort: number;

beforeEach(async () => {
  application = createServer((_request, response) => response.end('the application'));
  await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve));
  fake = await createFakeEngine({ nodes: [{ hostname: 'm1', role: 'manager', address: '127.0.0.1' }] });
  port = await freePort();
  metricsPort = await freePort();
  daemons = await prepareDaemons(
    fake,
    `
PollInterval = "60s"
TaskFeed = "poll"
MetricsListenAddr = "127.0.0.1:${metricsPort}"
[Extensions.default]
Image = "interlock/extension:dev"
ServiceName = "interlock-extension"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "interlock-proxy"
ProxyConfigPath = "/etc/nginx/nginx.conf"
ProxyReplicas = 1
TargetPort = ${port}
TargetSSLPort = ${await freePort()}
`,
  );
});

afterEach(async () => {
  await daemons.stopAll();
  await fake.close();
  await new Promise((resolve) => application.close(resolve));
});

/**
 * In host mode, so that its endpoint is node address and published port: those of our application. Not restarted, and changed long ago, so
 * that nothing else makes core look closer at it.
 */
function addApp(): void {
  const { port: published } = application.address() as AddressInfo; // a TCP server has no other kind of address
  const id = fake.swarm.addService({
    Name: 'app',
    Labels: { 'com.docker.lb.hosts': 'app.local', 'com.docker.lb.port': '8080' },
    TaskTemplate: { ContainerSpec: { Image: 'app:1' }, RestartPolicy: { Condition: 'none' } },
    EndpointSpec: { Ports: [{ Protocol: 'tcp', TargetPort: 8080, PublishedPort: published, PublishMode: 'host' }] },
  });
  Object.assign(fake.swarm.store.services.get(id) ?? {}, { UpdatedAt: '2026-01-01T00:00:00Z' });
}

async function ask(): Promise<{ readonly status: number; readonly retryAfter: unknown }> {
  const { statusCode, headers, body } = await request(`http://127.0.0.1:${port}/`, {
    headers: { host: 'app.local' },
    reset: true,
  });
  await body.dump();
  return { status: statusCode, retryAfter: headers['retry-after'] };
}

async function metric(pattern: RegExp): Promise<number> {
  const { body } = await request(`http://127.0.0.1:${metricsPort}/metrics`, { reset: true });
  return Number(pattern.exec(await body.text())?.[1] ?? 0);
}

/** What Swarm would start for the proxy service's one task. */
async function startProxy(): Promise<AgentProcess> {
  const { mounted, task, token } = await eventually(
    () => {
      const file = daemons.served();
      const [first] = fake.swarm.runningTasksOf('interlock-proxy');
      const secret = tokenIn(fake, 'default', 'proxy');
      if (file === undefined || first === undefined || secret === undefined) {
        throw new Error('no proxy yet');
      }
      return { mounted: file, task: first.ID, token: secret };
    },
    { timeoutMs: 20_000 },
  );
  return startAgentProcess({
    mounted,
    secrets: { 'interlock-token': token },
    env: {
      INTERLOCK_ENDPOINT: daemons.endpoint,
      INTERLOCK_EXTENSION: 'default',
      INTERLOCK_TASK_ID: task,
      INTERLOCK_NODE_ID: 'node1',
    },
  });
}

/** Its own services are made and settled: no event and no change of theirs makes it list tasks. */
async function untilCoreRests(): Promise<void> {
  let last = -1;
  await eventually(
    async () => {
      const lists = await metric(/^interlock_core_docker_call_seconds_count\{call="listTasks"\} (\d+)$/m);
      const rests = lists === last;
      last = lists;
      return rests;
    },
    { everyMs: 2_000, timeoutMs: 60_000 },
  );
}

describe('a task that dies without notice', { timeout: 120_000 }, () => {
  it("leaves every proxy's file because a proxy could not reach it, long before the poll; and an error alone takes out nothing", async () => {
    addApp();
    daemons.startCore();
    daemons.startExtension();
    await using agent = await startProxy();
    await agent.master();
    await eventually(async () => (await ask()).status === 200);

    await untilCoreRests();

    // Down, though Swarm says that it runs: core looks, and the route stays.
    await new Promise((resolve) => application.close(resolve));
    await eventually(async () => {
      expect(await ask()).toMatchObject({ status: 502 });
      expect(await metric(/^interlock_core_looks_total\{outcome="unchanged"\} (\d+)$/m)).toBeGreaterThan(0);
    });
    expect(await metric(/^interlock_core_agent_reports_total\{.*outcome="unreached"\} (\d+)$/m)).toBeGreaterThan(0);

    const [task] = fake.swarm.runningTasksOf('app');
    fake.swarm.killTask(task?.ID ?? '');
    // The route has no endpoint: 503 with Retry-After, by NGINX itself.
    await eventually(async () => expect(await ask()).toEqual({ status: 503, retryAfter: '5' }), { timeoutMs: 30_000 });
    expect(await metric(/^interlock_core_looks_total\{outcome="changed"\} (\d+)$/m)).toBe(1);
  });
});
