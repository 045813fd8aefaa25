/** `interlock snapshot` and `interlock render` as processes, against the fake Engine and against files. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../../src/model/finding.ts';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';

const SCRIPT = fileURLToPath(new URL('../../../src/bin/interlock.ts', import.meta.url));
const EXTENSIONS = `
[Extensions.default]
ServiceName = "interlock-extension"
ProxyServiceName = "interlock-proxy"
ProxyConfigPath = "/etc/nginx/nginx.conf"
[Extensions.default.Config]
Version = "test"
[Extensions.other]
ServiceCluster = "blue"
ServiceName = "blue-extension"
ProxyServiceName = "blue-proxy"
ProxyConfigPath = "/etc/nginx/nginx.conf"
PublishedPort = 9080
PublishedSSLPort = 9443
`;

let home: string;
let fake: FakeEngine;
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'interlock-render-'));
  fake = await createFakeEngine({ nodes: [{ hostname: 'm1', role: 'manager', address: '127.0.0.1' }] });
  const network = fake.swarm.addNetwork('apps');
  fake.swarm.addService({
    Name: 'shop',
    Labels: { 'com.docker.lb.hosts': 'shop.local', 'com.docker.lb.port': '8080', 'com.docker.lb.network': 'apps' },
    TaskTemplate: {
      ContainerSpec: { Image: 'app:1', Env: ['PASSWORD=hunter2'], Args: ['--key=hunter2'] },
      Networks: [{ Target: network }],
    },
  });
  fake.swarm.addService({ Name: 'wrong', Labels: { 'com.docker.lb.hosts': 'no_host!', 'com.docker.lb.port': '80' } });
});
afterAll(async () => {
  await fake.close();
  await rm(home, { recursive: true, force: true });
});

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', 'tsx', SCRIPT, ...args], (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

let at = 0;
/** A path in the test's folder that nobody used yet. */
function fresh(name: string): string {
  at += 1;
  return path.join(home, `${at}-${name}`);
}
const read = (...parts: readonly string[]) => readFile(path.join(...parts), 'utf8');

async function stateFolder(files: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = fresh('state');
  await mkdir(folder);
  const empty = { services: '[]', tasks: '[]', networks: '[]', nodes: '[]', secrets: '[]' };
  for (const [name, text] of Object.entries({ ...empty, ...files })) {
    await writeFile(path.join(folder, `${name}.json`), text);
  }
  return folder;
}

describe('a saved Swarm', { timeout: 60_000 }, () => {
  let config: string;
  beforeEach(async () => {
    config = path.join(home, 'config.toml');
    await writeFile(config, EXTENSIONS);
  });

  it('renders to the very bytes that the daemons deploy, and holds no environment', async () => {
    const daemons = await prepareDaemons(fake, EXTENSIONS);
    try {
      daemons.startCore();
      daemons.startExtension();
      daemons.startExtension('other');
      const served = await eventually(
        () => {
          const file = daemons.served() ?? '';
          expect(file).toContain('shop.local');
          expect(file).toMatch(/server 10\.\S+:8080/);
          return file;
        },
        { timeoutMs: 30_000 },
      );
      const state = fresh('state');
      const saved = await run('snapshot', '--out', state, '-H', fake.dockerUrl);
      expect(saved).toMatchObject({ code: 0, err: '' });
      const out = fresh('out');
      const rendered = await run('render', '-c', config, '--state', state, '--out', out);
      expect(rendered).toMatchObject({ code: 0, err: '' });
      expect(await read(out, 'default', 'nginx.conf')).toBe(served);
      expect((await readdir(state)).sort()).toEqual([
        'networks.json',
        'nodes.json',
        'secrets.json',
        'services.json',
        'tasks.json',
      ]);
      const all = await Promise.all((await readdir(state)).map((name) => read(state, name)));
      expect(all.join('')).not.toMatch(/hunter2|interlock-token.*"Data"/);
    } finally {
      await daemons.stopAll();
    }
  });

  it('gives each extension its folder, all findings, and 1 with --strict only', async () => {
    const state = fresh('state');
    const saved = await run('snapshot', '--out', state, '--json', '-H', fake.dockerUrl);
    expect(JSON.parse(saved.out)).toMatchObject({
      written: expect.arrayContaining([{ file: 'nodes.json', objects: 1 }]) as unknown,
    });
    const out = fresh('out');
    expect((await run('render', '-c', config, '--state', state, '--out', out)).code).toBe(0);
    expect((await readdir(out)).sort()).toEqual(['default', 'findings.json', 'other']);
    expect(await read(out, 'default', 'nginx.conf')).toContain('shop.local');
    expect(await read(out, 'other', 'nginx.conf')).not.toContain('shop.local');
    const findings = JSON.parse(await read(out, 'findings.json')) as Finding[];
    expect(findings).toContainEqual(expect.objectContaining({ code: 'LABEL.HOSTS_INVALID', service: 'wrong' }));
    const forScripts = await run('render', '-c', config, '--state', state, '--out', out, '--json');
    expect(JSON.parse(forScripts.out)).toEqual({
      written: ['default/nginx.conf', 'other/nginx.conf', 'findings.json'],
      findings,
    });
    // Over the earlier output, for CI.
    const strict = await run('render', '-c', config, '--state', state, '--out', out, '--strict');
    expect(strict.code).toBe(1);
    expect(strict.out).toContain('error LABEL.HOSTS_INVALID wrong');
    expect((await readdir(out)).sort()).toEqual(['default', 'findings.json', 'other']);
  });

  it('renders one cluster alone, the default one by its empty name', async () => {
    const state = await stateFolder();
    const [blue, plain] = [fresh('out'), fresh('out')];
    await run('render', '-c', config, '--state', state, '--out', blue, '--cluster', 'blue');
    expect((await readdir(blue)).sort()).toEqual(['findings.json', 'other']);
    await run('render', '-c', config, '--state', state, '--out', plain, '--cluster=');
    expect((await readdir(plain)).sort()).toEqual(['default', 'findings.json']);
  });

  it('is without an error: 0 with --strict', async () => {
    const out = fresh('out');
    await mkdir(out);
    const ended = await run('render', '-c', config, '--state', await stateFolder(), '--out', out, '--strict');
    expect(ended).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(await read(out, 'findings.json'))).toEqual([]);
  });
});

describe('what cannot be used', { timeout: 60_000 }, () => {
  const LABELLED = { ID: 'a', Version: { Index: 1 }, Spec: { Name: 7 } };

  it.each([
    ['no folder', {}, /services\.json: there is no such file\. Write what the Engine's GET \/services returns/],
    ['not JSON', { tasks: '[{' }, /tasks\.json: not JSON: .*\nSave the folder with/],
    ['not an array', { nodes: '{}' }, /nodes\.json: not what the Engine's GET \/nodes returns: .*expected an array/],
    ['another shape', { services: JSON.stringify([LABELLED]) }, /services\.json: .*service a, (CreatedAt|Spec\.Name)/],
  ])('is named with its file and place: %s', async (name, files, words) => {
    const state = name === 'no folder' ? fresh('nothing') : await stateFolder(files);
    const config = path.join(home, 'config.toml');
    await writeFile(config, EXTENSIONS);
    const out = fresh('out');
    const ended = await run('render', '-c', config, '--state', state, '--out', out);
    expect(ended).toMatchObject({ code: 1, out: '' });
    expect(ended.err).toMatch(words);
    expect(ended.err).not.toMatch(/\n {4}at /);
    await expect(readdir(out)).rejects.toThrow('ENOENT');
  });

  it('is a cluster that nobody serves', async () => {
    const config = path.join(home, 'config.toml');
    await writeFile(config, EXTENSIONS);
    const state = await stateFolder();
    const ended = await run('render', '-c', config, '--state', state, '--out', fresh('out'), '--cluster', 'red');
    expect(ended.code).toBe(1);
    expect(ended.err).toContain('ServiceCluster "red". Known: "", "blue"');
  });

  it('is an out folder that holds other things, or is a file', async () => {
    const config = path.join(home, 'config.toml');
    await writeFile(config, EXTENSIONS);
    const state = await stateFolder();
    const ended = await run('render', '-c', config, '--state', state, '--out', state);
    expect(ended.code).toBe(1);
    expect(ended.err).toContain('holds other things');
    expect((await readdir(state)).length).toBe(5);
    expect((await run('render', '-c', config, '--state', state, '--out', config)).err).toContain('is a file');
  });

  it('is a config.toml with problems, each on its line', async () => {
    const config = fresh('config.toml');
    await writeFile(config, 'PollInterval = "soon"\n[Extensions.a]\nImage = 3\n');
    const ended = await run('render', '-c', config, '--state', await stateFolder(), '--out', fresh('out'));
    expect(ended.code).toBe(1);
    expect(ended.err).toMatch(/PollInterval: .*\n(.*\n)*Extensions\.a\.Image: /);
  });

  it('is an engine that is away', async () => {
    const out = fresh('out');
    const ended = await run('snapshot', '--out', out, '-H', 'unix:///nonexistent/docker.sock');
    expect(ended.code).toBe(1);
    expect(ended.err).toContain('/nonexistent/docker.sock');
    await expect(readdir(out)).rejects.toThrow('ENOENT');
  });

  it('is a line without what is needed, and --help teaches', async () => {
    expect(await run('render')).toMatchObject({ code: 64, err: expect.stringContaining('--out DIR') as string });
    expect(await run('snapshot', '--help')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/No secret's data/) as string,
    });
  });
});
