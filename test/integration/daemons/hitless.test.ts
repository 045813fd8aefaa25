/** Core, extension and an agent as a process with a real NGINX: labels change and are served, and the proxy never restarts. */
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

beforeEach(async () => {
  application = createServer((_request, response) => response.end('the application'));
  await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve));
  fake = await createFakeEngine({ nodes: [{ hostname: 'm1', role: 'manager', address: '127.0.0.1' }] });
  port = await freePort();
  daemons = await prepareDaemons(
    fake,
    `
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

/** In host mode, so that its endpoint is node address and published port: those of our application. */
function addApp(hosts: string): void {
  const { port: published } = application.address() as AddressInfo; // a TCP server has no other kind of address
  fake.swarm.addService({
    Name: 'app',
    Labels: { 'com.docker.lb.hosts': hosts, 'com.docker.lb.port': '8080' },
    EndpointSpec: { Ports: [{ Protocol: 'tcp', TargetPort: 8080, PublishedPort: published, PublishMode: 'host' }] },
  });
}

function rename(hosts: string): void {
  fake.swarm.updateService('app', (spec) => {
    spec.Labels['com.docker.lb.hosts'] = hosts;
  });
}

async function ask(host: string): Promise<number> {
  const { statusCode, body } = await request(`http://127.0.0.1:${port}/`, { headers: { host }, reset: true });
  await body.dump();
  return statusCode;
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

describe('hitless delivery', { timeout: 90_000 }, () => {
  it('serves each change of a label from the same NGINX, and goes on after core was away', async () => {
    const core = daemons.startCore();
    daemons.startExtension();
    addApp('one.local');
    await using agent = await startProxy();
    const master = await agent.master();
    await eventually(async () => (await ask('one.local')) === 200);
    expect(await ask('two.local')).toBe(503);

    rename('one.local,two.local');
    await eventually(async () => (await ask('two.local')) === 200);
    expect(await ask('one.local')).toBe(200);

    await core.stop();
    expect(await ask('two.local')).toBe(200);
    rename('two.local,three.local');
    daemons.startCore();
    await eventually(async () => (await ask('three.local')) === 200, { timeoutMs: 20_000 });
    // Old workers accept beside the new ones for 100 ms.
    await eventually(async () => (await ask('one.local')) === 503);
    expect(await agent.master()).toBe(master);
    await eventually(
      () => daemons.log.filter(({ msg, outcome }) => msg === 'report' && outcome === 'applied').length >= 3,
    );
  });

  it('answers 503 for a service on a network that the task is not on', async () => {
    const network = fake.swarm.addNetwork('elsewhere');
    daemons.startCore();
    daemons.startExtension();
    addApp('one.local');
    await using agent = await startProxy();
    await agent.master();
    await eventually(async () => (await ask('one.local')) === 200);

    fake.swarm.addService({
      Name: 'far',
      Labels: { 'com.docker.lb.hosts': 'far.local', 'com.docker.lb.port': '8080' },
      TaskTemplate: { ContainerSpec: { Image: 'app:1' }, Networks: [{ Target: network }] },
    });
    await eventually(async () => {
      const { statusCode, headers, body } = await request(`http://127.0.0.1:${port}/`, {
        headers: { host: 'far.local' },
        reset: true,
      });
      const text = await body.text();
      expect([statusCode, headers['retry-after']]).toEqual([503, '5']);
      expect(text).toContain('No task of this service is running');
    });
    await eventually(() =>
      daemons.log.some(
        ({ msg, finding }) =>
          msg === 'finding' && (finding as { code: string }).code === 'DELIVERY.NETWORK_NOT_ATTACHED',
      ),
    );
    expect(await ask('one.local')).toBe(200);
  });
});
