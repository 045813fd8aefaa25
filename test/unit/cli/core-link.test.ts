/** How a command reaches core: over a real socket, through a fake engine's API, and not at all. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createWireServer, type WireServer } from '../../../src/wire/server.ts';
import { runCommand } from '../../support/run-command.ts';
import { createFakeCore, SAMPLE_OPERATOR, silent } from '../../support/wire.ts';

let folder: string;
const closers: (() => unknown)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'interlock-link-'));
});
afterEach(async () => {
  for (const close of closers.splice(0)) {
    await close();
  }
  await rm(folder, { recursive: true, force: true });
});

async function serve(): Promise<{ readonly socket: string; readonly port: number; readonly server: WireServer }> {
  const socket = join(folder, 'operator.sock');
  const server = createWireServer({
    listen: { host: '127.0.0.1', port: 0 },
    handlers: createFakeCore().handlers,
    operator: SAMPLE_OPERATOR,
    authenticate: ({ token }) => {
      if (token !== 'o'.repeat(43)) {
        throw new TypeError('a wrong token');
      }
    },
    operatorSocket: socket,
    logger: silent,
  });
  const { port } = await server.start();
  closers.push(() => server.stop(0));
  return { socket, port, server };
}

/** An engine that answers these paths with JSON, and everything else with 404. */
async function engine(answers: Readonly<Record<string, unknown>>): Promise<string> {
  const path = join(folder, 'docker.sock');
  const server: Server = createServer((request, response) => {
    const [route = ''] = (request.url ?? '').split('?');
    const answer = answers[route.replace(/^\/v[\d.]+/, '')];
    response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer ?? { message: `no ${route}` }));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `unix://${path}`;
}

describe('a command', () => {
  it('takes the unix socket where there is one', async () => {
    const { socket } = await serve();
    const { exitCode, stdout } = await runCommand(['status'], { env: { INTERLOCK_OPERATOR_SOCKET: socket } });

    expect(stdout).toMatch(/^core {2}0\.1\.0, up 1s\n/);
    expect(exitCode).toBe(0);
  });

  it('takes an address with a token out of a file', async () => {
    const { port } = await serve();
    const file = join(folder, 'token');
    await writeFile(file, `${'o'.repeat(43)}\n`);

    expect(await runCommand(['status', '--endpoint', `127.0.0.1:${port}`, '--token-file', file])).toMatchObject({
      exitCode: 0,
    });
  });

  it('says 69 when nobody answers', async () => {
    const { server, port } = await serve();
    await server.stop(0);
    const { exitCode, stdout, stderr } = await runCommand(['status', '--endpoint', `127.0.0.1:${port}`]);

    expect({ exitCode, stdout }).toEqual({ exitCode: 69, stdout: '' });
    expect(stderr).toMatch(/^core does not answer: /);
  });

  it.each([
    [['--endpoint', 'nonsense'], '--endpoint takes HOST:PORT'],
    [['--endpoint', 'core:65536'], '--endpoint takes HOST:PORT'],
    [['--token-file', 'x'], '--token-file goes with --endpoint'],
    [['--endpoint', '127.0.0.1:1', '--token-file', '/nowhere/at/all'], 'holds no token that can be read'],
  ])('with %j is wrong usage', async (argv, why) => {
    const { exitCode, stderr } = await runCommand(['status', ...argv]);
    expect(exitCode).toBe(64);
    expect(stderr).toContain(why);
  });
});

describe('without a socket', () => {
  const away = { INTERLOCK_OPERATOR_SOCKET: '/nowhere/operator.sock' };
  const ask = (url: string, ...argv: readonly string[]) => runCommand(['status', '-H', url, ...argv], { env: away });

  it('names the node that runs core', async () => {
    const at = '2026-11-21T06:00:00Z';
    const url = await engine({
      '/containers/json': [],
      '/services': [
        { Spec: { TaskTemplate: { ContainerSpec: { Env: ['A=b', 'INTERLOCK_ENDPOINT=tasks.interlock_core:8080'] } } } },
      ],
      '/tasks': [
        {
          ...{ ID: 't', Version: { Index: 1 }, CreatedAt: at, UpdatedAt: at, ServiceID: 's', NodeID: 'node2' },
          ...{ Status: { State: 'running' }, DesiredState: 'running' },
        },
      ],
      '/nodes/node2': {
        ID: 'node2',
        Version: { Index: 1 },
        Spec: { Role: 'manager' },
        Description: { Hostname: 'n2' },
      },
    });

    expect(await ask(url)).toMatchObject({
      exitCode: 69,
      stderr: expect.stringMatching(/^core runs on the node n2: run this command there\n/) as unknown,
    });
  });

  it.each([
    [
      'of several cores asks which',
      [
        ['a', 'one_core'],
        ['b', 'two_core'],
      ],
      /choose one with --core: one_core, two_core/,
    ],
    ['on an engine that is no manager has its words', [], /no container of core runs on this engine.*no \/services/],
  ])('%s', async (_what, containers, words) => {
    const list = containers.map(([id, name]) => ({ Id: id, Labels: { 'com.docker.swarm.service.name': name } }));
    const { exitCode, stderr } = await ask(await engine({ '/containers/json': list }));

    expect(exitCode).toBe(69);
    expect(stderr).toMatch(words);
  });

  it('and without an engine says so', async () => {
    expect(await ask(`unix://${join(folder, 'none.sock')}`)).toMatchObject({
      exitCode: 69,
      stderr: expect.stringMatching(/^the engine at unix:.*ENOENT/) as unknown,
    });
  });
});
