/**
 * The original's how-tos on a real Swarm of three nodes: the stack files in `stacks/`, in the shape they are printed in, deployed with
 * `docker stack deploy`. Two proxies in host mode. Virtual IPs: routing mesh emulated (test/support/mesh.ts).
 */
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSwarm } from '../support/bed.ts';
import { createAuthority } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { type Answer, defaultConfig, deployInterlock, type Interlock } from '../support/interlock.ts';
import { emulateRoutingMesh } from '../support/mesh.ts';
import { echoed, openWebSocket } from '../support/web-socket.ts';

const PROXIES = 2;
const STACKS = fileURLToPath(new URL('stacks', import.meta.url));
const authority = createAuthority();
let interlock: Interlock;
let folder: string;
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  const swarm = await startSwarm({ name: 'howtos', nodes: 3 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, `NetworkLinger = "5s"\n${defaultConfig({ replicas: PROXIES })}`);
  cleanUps.unshift(() => interlock.down());
  folder = await mkdtemp(join(tmpdir(), 'interlock-howtos-'));
  cleanUps.unshift(() => rm(folder, { recursive: true, force: true }));
  const { certificate, key } = authority.issue(['app.example.org', 'pass.example.org']);
  await writeFile(join(folder, 'app.example.org.cert'), certificate);
  await writeFile(join(folder, 'app.example.org.key'), key);
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

async function deploy(stack: string): Promise<void> {
  await copyFile(join(STACKS, `${stack}.yml`), join(folder, `${stack}.yml`));
  await interlock.cli('stack', 'deploy', '--resolve-image', 'never', '-c', join(folder, `${stack}.yml`), stack);
}

/** The demo application's first line is its name. */
const answeredBy = (name: string) => (answer: Pick<Answer, 'status' | 'body'>) =>
  answer.status === 200 && answer.body.startsWith(`${name}\n`);

async function untilServed(host: string, name: string): Promise<void> {
  await interlock.untilAll(host, answeredBy(name), { proxies: PROXIES, timeoutMs: 120_000 });
}

/** The TLS port of every proxy. */
async function tlsPorts(): Promise<readonly URL[]> {
  return (await interlock.proxies()).map((base) => new URL(base.replace('http:', 'https:').replace(':8080', ':8443')));
}

/** Over TLS with SNI and `Host`, the certificate verified. */
function askTls(base: URL, host: string): Promise<Answer & { readonly protocol: string | null }> {
  return new Promise((resolve, reject) => {
    const asking = httpsRequest(
      {
        host: base.hostname,
        port: base.port,
        servername: host,
        headers: { host },
        ca: authority.certificate,
        agent: false,
        timeout: 5_000,
      },
      (response) => {
        const chunks: Buffer[] = [];
        const { socket } = response;
        const protocol =
          'getProtocol' in socket ? (socket as unknown as { getProtocol(): string }).getProtocol() : null;
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
            protocol,
          }),
        );
        response.once('error', reject);
      },
    );
    asking.once('error', reject);
    asking.once('timeout', () => asking.destroy(new Error('no answer in 5 s')));
    asking.end();
  });
}

/** Who answers, over so many requests at one proxy. */
async function answerers(host: string, requests: number): Promise<ReadonlyMap<string, number>> {
  const [base = ''] = await interlock.proxies();
  const seen = new Map<string, number>();
  for (let count = 0; count < requests; count += 1) {
    const { body } = await interlock.ask(base, host);
    const name = body.split('\n', 1)[0] ?? '';
    seen.set(name, (seen.get(name) ?? 0) + 1);
  }
  return seen;
}

describe("the original's how-tos", () => {
  it('TLS ended at the proxy, from the secrets of a stack', async () => {
    await deploy('tls');
    await eventually(
      async () => {
        const ports = await tlsPorts();
        expect(ports).toHaveLength(PROXIES);
        for (const port of ports) {
          const answer = await askTls(port, 'app.example.org');
          expect(answer).toMatchObject({ status: 200, body: expect.stringMatching(/^tls\n/) as string });
          expect(answer.body).toMatch(/x-forwarded-proto: https/i);
          expect(answer.protocol).toBe('TLSv1.3');
        }
      },
      { timeoutMs: 120_000, everyMs: 250 },
    );
    // HTTP stays open beside it, as in the original.
    await untilServed('app.example.org', 'tls');
  });

  it('an unknown name in SNI gets no handshake', async () => {
    for (const port of await tlsPorts()) {
      await expect(askTls(port, 'nobody.example.org')).rejects.toThrow(/unrecognized name|alert|ECONNRESET/i);
    }
  });

  it('TLS passed through by SNI, beside the one that ends here', async () => {
    await deploy('passthrough');
    await eventually(
      async () => {
        const ports = await tlsPorts();
        expect(ports).toHaveLength(PROXIES);
        for (const port of ports) {
          const passed = await askTls(port, 'pass.example.org');
          expect(passed).toMatchObject({ status: 200, body: expect.stringMatching(/^passthrough\n/) as string });
          // The application's own answer: nothing of ours was added.
          expect(passed.headers['x-proxy-id']).toBeUndefined();
          expect((await askTls(port, 'app.example.org')).status).toBe(200);
        }
      },
      { timeoutMs: 120_000, everyMs: 250 },
    );
  });

  it('redirects from one host to another', async () => {
    await deploy('redirects');
    await untilServed('new.local', 'redirects');
    for (const base of await interlock.proxies()) {
      const { status, headers } = await interlock.ask(base, 'old.local', '/a/b?c=%20d');
      expect(status).toBe(302);
      expect(headers['location']).toBe('http://new.local/a/b?c=%20d');
    }
  });

  it('sessions: one replica for one cookie, all replicas for clients without it', async () => {
    await deploy('sessions');
    await untilServed('cookie.local', 'cookie');
    const [base = ''] = await interlock.proxies();
    const replica = (answer: Answer) => String(answer.headers['x-demo-host']);
    const plain = async () => replica(await interlock.ask(base, 'cookie.local'));
    await eventually(async () => new Set(await times(30, plain)).size === 5, { timeoutMs: 60_000, everyMs: 250 });
    for (const value of ['a', 'b', 'c']) {
      const sticky = async () =>
        replica(await interlock.ask(base, 'cookie.local', '/', { cookie: `other=1; session=${value}` }));
      expect(new Set(await times(10, sticky)).size).toBe(1);
    }
  });

  it('sessions by client address', async () => {
    await untilServed('address.local', 'address');
    const [base = ''] = await interlock.proxies();
    const asked = await times(10, async () => (await interlock.ask(base, 'address.local')).headers['x-demo-host']);
    expect(new Set(asked).size).toBe(1);
  });

  it('WebSockets', async () => {
    await deploy('websockets');
    await untilServed('ws.local', 'websockets');
    const [base = ''] = await interlock.proxies();
    const socket = await openWebSocket(base, 'ws.local', '/ws', AbortSignal.timeout(5_000));
    await echoed(socket, 'hello', AbortSignal.timeout(5_000));
    socket.destroy();
  });

  it('canary: four old tasks and a new one share a host 80 to 20', async () => {
    await deploy('canary');
    await eventually(
      async () => {
        // Round robin with equal weights: exact over whole turns, once both services run whole.
        expect(Object.fromEntries(await answerers('canary.local', 50))).toEqual({ 'canary-v1': 40, 'canary-v2': 10 });
      },
      { timeoutMs: 120_000, everyMs: 500 },
    );
  });

  it('context root, cut from the path, beside a service for the rest of the host', async () => {
    await deploy('context');
    await untilServed('context.local', 'context-rest');
    for (const base of await interlock.proxies()) {
      await eventually(
        async () => {
          const cut = await interlock.ask(base, 'context.local', '/app/x%2Fy?q=1');
          expect(cut.body).toMatch(/^context-app\n/);
          expect(cut.body).toContain('GET /x%2Fy?q=1 HTTP/1.1');
          expect((await interlock.ask(base, 'context.local', '/app')).body).toContain('GET / HTTP/1.1');
          expect((await interlock.ask(base, 'context.local', '/apple')).body).toMatch(/^context-rest\n/);
        },
        { timeoutMs: 60_000, everyMs: 250 },
      );
    }
  });

  it('host mode: node address and published port, with and without an overlay', async () => {
    await deploy('host-mode');
    await untilServed('host-mode.local', 'host-mode');
    await untilServed('bridged.local', 'bridged');
    const nodes = interlock.swarm.nodes.map(({ address }) => address);
    for (const base of await interlock.proxies()) {
      for (const host of ['host-mode.local', 'bridged.local']) {
        const { headers } = await interlock.ask(base, host);
        expect(nodes).toContain(String(headers['x-upstream-addr']).split(':')[0]);
      }
    }
  });

  it('VIP mode: one address whatever is scaled, and no new configuration (routing mesh emulated)', async () => {
    await deploy('vip');
    await eventually(
      async () => {
        await emulateRoutingMesh(interlock.swarm, interlock.docker);
        for (const base of await interlock.proxies()) {
          expect(await interlock.ask(base, 'vip.local')).toSatisfy(answeredBy('vip'));
        }
      },
      { timeoutMs: 120_000, everyMs: 1_000 },
    );
    const [base = ''] = await interlock.proxies();
    const vip = String((await interlock.ask(base, 'vip.local')).headers['x-upstream-addr']).split(':')[0];
    const { Endpoint } = (await interlock.docker.getService('vip_demo').inspect()) as {
      Endpoint: { VirtualIPs: { Addr: string }[] };
    };
    expect(Endpoint.VirtualIPs.map(({ Addr }) => Addr.split('/')[0])).toContain(vip);

    const revisions = async () => (await interlock.coreLog()).filter(({ msg }) => msg === 'model revised').length;
    const before = await revisions();
    await interlock.updateService('vip_demo', (spec) => {
      spec.Mode.Replicated = { Replicas: 3 };
      spec.TaskTemplate.ContainerSpec['Env'] = ['DEMO_NAME=vip', 'CHANGED=1'];
    });
    await eventually(
      async () => {
        await emulateRoutingMesh(interlock.swarm, interlock.docker);
        const { UpdateStatus } = await interlock.inspectService('vip_demo');
        expect(UpdateStatus?.State).toBe('completed');
        expect(await interlock.ask(base, 'vip.local')).toSatisfy(answeredBy('vip'));
      },
      { timeoutMs: 120_000, everyMs: 1_000 },
    );
    expect(await revisions()).toBe(before);
  });

  it('a default backend answers hosts that nobody claimed, and only those', async () => {
    await deploy('default');
    await untilServed('anything.local', 'fallback');
    await untilServed('new.local', 'redirects');
  });

  it('a secret renewed under a new name is served', async () => {
    const next = authority.issue(['app.example.org']);
    await writeFile(join(folder, 'renewed.pem'), `${next.certificate}${next.key}`);
    await interlock.cli('secret', 'create', 'renewed', join(folder, 'renewed.pem'));
    await interlock.updateService('tls_demo', (spec) => {
      // One secret that holds both: ssl_cert alone is enough.
      spec.Labels['com.docker.lb.ssl_cert'] = 'renewed';
      delete spec.Labels['com.docker.lb.ssl_key'];
    });
    await eventually(
      async () => {
        const { Spec, UpdateStatus } = await interlock.inspectService('interlock-proxy');
        expect(JSON.stringify(Spec)).toContain('renewed');
        expect(UpdateStatus?.State).toBe('completed');
        const ports = await tlsPorts();
        expect(ports).toHaveLength(PROXIES);
        for (const port of ports) {
          expect((await askTls(port, 'app.example.org')).status).toBe(200);
        }
      },
      { timeoutMs: 120_000, everyMs: 500 },
    );
  });

  it('an application leaves with docker stack rm, its network and secrets too, once the proxies let go of them', async () => {
    await interlock.cli('stack', 'rm', 'tls').catch(() => undefined); // the service goes at once
    await interlock.untilAll('app.example.org', ({ body }) => body.startsWith('fallback'), { proxies: PROXIES });
    await eventually(
      async () => {
        await interlock.cli('stack', 'rm', 'tls').catch(() => undefined);
        expect(await interlock.cli('network', 'ls', '--format', '{{.Name}}')).not.toContain('tls_');
        expect(await interlock.cli('secret', 'ls', '--format', '{{.Name}}')).not.toContain('tls_');
      },
      { timeoutMs: 120_000, everyMs: 1_000 },
    );
  });
});

async function times<Value>(count: number, ask: () => Promise<Value>): Promise<readonly Value[]> {
  const values: Value[] = [];
  for (let done = 0; done < count; done += 1) {
    values.push(await ask());
  }
  return values;
}
