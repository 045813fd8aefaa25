/** NGINX's counters are for the operator alone: on the public ports `/nginx_status` is a path like any other. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { local, model } from '../../support/render-models.ts';
import { echoOf, startProxy, type TestProxy } from './proxy.ts';
import { type EchoService, startEcho } from './services.ts';

let app: EchoService;
let proxy: TestProxy;

beforeAll(async () => {
  app = await startEcho('app');
  proxy = await startProxy(model({ 'app.local': { '/': local(app.port) }, 'path.local': { '/app': local(app.port) } }));
});

afterAll(async () => {
  await proxy.stop();
  await app[Symbol.asyncDispose]();
});

it.each(['/nginx_status', '/status', '/stub_status'])("%s is the application's own", async (path) => {
  expect(echoOf(await proxy.get('app.local', path))).toMatchObject({ service: 'app', url: path });
});

it.each([
  ['path.local', 404],
  ['nobody.local', 503],
  ['127.0.0.1', 503],
])('no counters at %s, which has no such path', async (host, status) => {
  const answer = await proxy.get(host, '/nginx_status');

  expect(answer.status).toBe(status);
  expect(answer.body).not.toContain('Active connections');
});
