/**
 * Labels that name secrets, on a real Swarm: https only, TLS to the service with and against a CA, and a secret that is not there yet.
 * And what a client may say about itself. One node, one proxy in host mode.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSwarm } from '../../support/bed.ts';
import { createAuthority } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock } from '../../support/interlock.ts';
import { printedSecrets, secretBytesOf } from '../../support/secret-bytes.ts';

const HOSTS = ['only.test', 'inner.test', 'stranger.test', 'late.test'];
const authority = createAuthority();
const strangers = createAuthority();
let interlock: Interlock;
let folder: string;
/** Of every secret that was made here. */
const texts = new Map<string, string>();
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  const swarm = await startSwarm({ name: 'labelsecrets', nodes: 1 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  // Debug logs everywhere: what is never logged is not logged there either.
  interlock = await deployInterlock(swarm, defaultConfig({ extra: 'Args = ["-D"]\nProxyArgs = ["-D"]\n' }));
  cleanUps.unshift(() => interlock.down());
  folder = await mkdtemp(join(tmpdir(), 'interlock-secrets-'));
  cleanUps.unshift(() => rm(folder, { recursive: true, force: true }));
  const { certificate, key } = authority.issue(HOSTS);
  const other = strangers.issue(HOSTS);
  for (const [name, text] of Object.entries({
    both: `${certificate}${key}`,
    certificate,
    key,
    ca: authority.certificate,
    'other-certificate': other.certificate,
    'other-key': other.key,
  })) {
    await createSecret(name, text);
  }
  await writeFile(join(folder, 'apps.yml'), STACK);
  await interlock.cli('stack', 'deploy', '--resolve-image', 'never', '-c', join(folder, 'apps.yml'), 'apps');
}, 300_000);

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

async function createSecret(name: string, text: string): Promise<void> {
  texts.set(name, text);
  await writeFile(join(folder, name), text);
  await interlock.cli('secret', 'create', name, join(folder, name));
}

const STACK = `version: "3.8"
services:
  only:
    image: interlock/demo:dev
    environment: { DEMO_NAME: only }
    networks: [front]
    deploy:
      labels:
        com.docker.lb.hosts: only.test
        com.docker.lb.port: "8080"
        com.docker.lb.ssl_cert: both
        com.docker.lb.ssl_only: "true"
  inner:
    image: interlock/demo:dev
    environment: { DEMO_NAME: inner, TLS_PORT: "8443", TLS_CERT: /run/secrets/certificate, TLS_KEY: /run/secrets/key }
    secrets: [certificate, key]
    networks: [front]
    deploy:
      labels:
        com.docker.lb.hosts: inner.test
        com.docker.lb.port: "8443"
        com.docker.lb.ssl_backend: "true"
        com.docker.lb.ssl_backend_tls_verify: required
        com.docker.lb.ssl_backend_ca: ca
  stranger:
    image: interlock/demo:dev
    environment: { DEMO_NAME: stranger, TLS_PORT: "8443", TLS_CERT: /run/secrets/other-certificate, TLS_KEY: /run/secrets/other-key }
    secrets: [other-certificate, other-key]
    networks: [front]
    deploy:
      labels:
        com.docker.lb.hosts: stranger.test
        com.docker.lb.port: "8443"
        com.docker.lb.ssl_backend: "true"
        com.docker.lb.ssl_backend_tls_verify: required
        com.docker.lb.ssl_backend_ca: ca
  late:
    image: interlock/demo:dev
    environment: { DEMO_NAME: late }
    networks: [front]
    deploy:
      labels:
        com.docker.lb.hosts: late.test
        com.docker.lb.port: "8080"
        com.docker.lb.ssl_cert: late
networks:
  front: { driver: overlay }
secrets:
  certificate: { external: true }
  key: { external: true }
  other-certificate: { external: true }
  other-key: { external: true }
`;

const firstLine = (body: string) => body.split('\n', 1)[0];

async function base(): Promise<string> {
  const [one] = await interlock.proxies();
  if (one === undefined) {
    throw new Error('no proxy runs');
  }
  return one;
}

async function ask(host: string, headers: Record<string, string> = {}) {
  return await interlock.ask(await base(), host, '/', headers);
}

/** With the host in SNI and `Host`, the certificate verified. */
async function askTls(host: string): Promise<{ readonly status: number; readonly body: string }> {
  const dispatcher = new Agent({ connect: { ca: authority.certificate, servername: host }, pipelining: 0 });
  try {
    const url = (await base()).replace('http:', 'https:').replace(':8080', ':8443');
    const { statusCode, body } = await request(url, { dispatcher, headers: { host } });
    return { status: statusCode, body: await body.text() };
  } finally {
    await dispatcher.close();
  }
}

/** What `interlock explain` says of an address that nobody answers. */
async function explained(url: string): Promise<string> {
  const failed = interlock.exec('interlock_core', ['interlock', 'explain', url]).then(
    (stdout) => Promise.reject(new Error(`served: ${stdout}`)),
    (error: unknown) => (error as { readonly stdout: string }).stdout,
  );
  return await failed;
}

const until = (check: () => Promise<void>) => eventually(check, { timeoutMs: 120_000, everyMs: 250 });

describe('https only', () => {
  it('serves over TLS, and sends plain requests there, to the published port', async () => {
    await until(async () => {
      const { status, body } = await askTls('only.test');
      expect([status, firstLine(body)]).toEqual([200, 'only']);
    });
    const plain = await ask('only.test:8080');
    expect([plain.status, plain.headers['location']]).toEqual([308, 'https://only.test:8443/']);
  });
});

describe('TLS to the service', () => {
  it('takes a certificate that the CA has signed', async () => {
    await until(async () => {
      const { status, body } = await ask('inner.test');
      expect([status, firstLine(body)]).toEqual([200, 'inner']);
    });
  });

  it('refuses one that another CA has signed, and takes any where nothing is verified', async () => {
    // 503 while its task starts.
    await until(async () => {
      expect((await ask('stranger.test')).status).toBe(502);
    });
    await interlock.updateService('apps_stranger', (spec) => {
      spec.Labels['com.docker.lb.ssl_backend_tls_verify'] = 'none';
      delete spec.Labels['com.docker.lb.ssl_backend_ca'];
    });
    await until(async () => {
      const { status, body } = await ask('stranger.test');
      expect([status, firstLine(body)]).toEqual([200, 'stranger']);
    });
  });
});

describe('a secret that is not there', () => {
  it('costs its host TLS alone, is a finding, and is served as soon as it is made', async () => {
    await until(async () => {
      expect(firstLine((await ask('late.test')).body)).toBe('late');
    });
    await expect(askTls('late.test')).rejects.toThrow(/unrecognized name|alert|ECONNRESET/i);
    expect((await askTls('only.test')).status).toBe(200);
    const findings = (await interlock.coreLog()).map((line) => line['finding']);
    expect(findings).toContainEqual(expect.objectContaining({ code: 'SECRET.MISSING', service: 'apps_late' }));

    expect(await explained('https://late.test/')).toContain('its certificate does not exist as a Docker secret');

    const { certificate, key } = authority.issue(['late.test']);
    await createSecret('late', `${certificate}${key}`);
    await until(async () => {
      expect(firstLine((await askTls('late.test')).body)).toBe('late');
    });
    expect((await askTls('only.test')).status).toBe(200);
  });
});

describe('a secret that cannot be used', () => {
  it('is what interlock explain names, and plain HTTP is served', async () => {
    await createSecret('garbage', 'no certificate in here');
    await interlock.updateService('apps_late', (spec) => {
      spec.Labels['com.docker.lb.ssl_cert'] = 'garbage';
    });
    await until(async () => {
      const said = await explained('https://late.test/');
      expect(said).toContain('the secret garbage cannot be used: the TLS handshake is refused');
      expect(said).toContain('SECRET.NOT_PEM');
    });
    // The new secret is a roll, and there is one proxy.
    await until(async () => {
      await expect(askTls('late.test')).rejects.toThrow(/unrecognized name|alert|ECONNRESET/i);
      expect(firstLine((await ask('late.test')).body)).toBe('late');
    });
  });
});

describe('a client', () => {
  it('is known by the address that it comes from, whatever it says', async () => {
    const spoofed = { 'X-Forwarded-For': '6.6.6.6', 'X-Real-IP': '6.6.6.6', 'X-Forwarded-Proto': 'https' };
    // The proxy may just be rolled.
    const { body } = await eventually(() => ask('late.test', spoofed), { timeoutMs: 120_000, everyMs: 250 });
    const told = /^x-real-ip: (.+)$/im.exec(body)?.[1] ?? '';

    // Host mode: the address that this machine has on the bed's network, the one its nodes are in.
    expect(told).not.toBe('6.6.6.6');
    expect(told.split('.').slice(0, 3)).toEqual(interlock.swarm.nodes[0]?.address.split('.').slice(0, 3));
    expect(body).toMatch(new RegExp(`^x-forwarded-for: ${told.replaceAll('.', '\\.')}$`, 'im'));
    expect(body).toMatch(/^x-forwarded-proto: http$/im);
  });
});

describe('logs', () => {
  const SERVICES = ['interlock_core', 'interlock-extension', 'interlock-proxy'];

  it('of all three hold no byte of a token or a key, with debug logs on', async () => {
    const tokens = await Promise.all(
      ['interlock-extension', 'interlock-proxy'].map((service) =>
        eventually(() => interlock.exec(service, ['cat', '/run/secrets/interlock-token']), {
          timeoutMs: 120_000,
          everyMs: 500,
        }),
      ),
    );
    const secrets = [...tokens, ...texts.values()].flatMap(secretBytesOf);
    expect(secrets.length).toBeGreaterThan(8);
    for (const service of SERVICES) {
      const log = await eventually(
        async () => {
          const text = await interlock.cli('service', 'logs', '--raw', service);
          expect(text).toContain('"level":"debug"');
          return text;
        },
        { timeoutMs: 60_000, everyMs: 500 },
      );
      expect(printedSecrets(log, secrets), service).toEqual([]);
    }
  });
});
