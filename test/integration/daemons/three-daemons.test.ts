/** Core, extension and agent in one process, with a real NGINX: from a label in the (fake) Engine to an answer of the application. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { type Daemons, prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';
import { type RunningAgent, startAgentOnRendered } from '../agent/real-nginx.ts';

let application: Server;
let fake: FakeEngine;
let daemons: Daemons;

beforeEach(async () => {
  application = createServer((request, response) => response.end(`the application at ${request.url ?? ''}`));
  await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve));
  fake = await createFakeEngine({ nodes: [{ hostname: 'm1', role: 'manager', address: '127.0.0.1' }] });
  daemons = await prepareDaemons(fake);
});

afterEach(async () => {
  await daemons.stopAll();
  await fake.close();
  await new Promise((resolve) => application.close(resolve));
});

/** A service in host mode, so that its endpoint is node address and published port: those of our application. */
function addApp(hosts: string): void {
  const { port } = application.address() as AddressInfo; // a TCP server has no other kind of address
  fake.swarm.addService({
    Name: 'app',
    Labels: { 'com.docker.lb.hosts': hosts, 'com.docker.lb.port': '8080' },
    EndpointSpec: { Ports: [{ Protocol: 'tcp', TargetPort: 8080, PublishedPort: port, PublishMode: 'host' }] },
  });
}

async function ask(agent: RunningAgent, host: string): Promise<{ readonly status: number; readonly body: string }> {
  const answer = await request(`http://127.0.0.1:${agent.port}/path?q=1`, { headers: { host } });
  return { status: answer.statusCode, body: await answer.body.text() };
}

describe('three daemons', () => {
  it('answer for a labelled service, and with 503 for everybody else', async () => {
    daemons.startCore();
    daemons.startExtension();
    addApp('shop.local');
    const file = await eventually(() => {
      const served = daemons.served() ?? '';
      expect(served).toMatch(/server 127\.0\.0\.1:\d+/);
      return served;
    });

    await using agent = await startAgentOnRendered(file);
    await agent.reached('serving');

    expect(await ask(agent, 'shop.local')).toEqual({ status: 200, body: 'the application at /path?q=1' });
    expect((await ask(agent, 'nobody.local')).status).toBe(503);
  });
});
