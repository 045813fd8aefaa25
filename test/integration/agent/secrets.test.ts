/** Secrets as NGINX sees them: our verdicts are its verdicts, and a bad one costs its host TLS and nobody anything. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { examinePair } from '../../../src/agent/localise/examine.ts';
import type { HostTls } from '../../../src/model/cluster.ts';
import type { SecretName } from '../../../src/model/names.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { DEFAULT_NGINX_OPTIONS } from '../../../src/settings/nginx-options.ts';
import { createAuthority } from '../../support/certificates.ts';
import { freePort, nginxRoot } from '../../support/nginx.ts';
import { HOST, pemCases } from '../../support/pem-cases.ts';
import { model, port } from '../../support/render-models.ts';
import { startAgentProcess } from './agent-process.ts';
import { nginxScript } from './real-nginx.ts';

const run = promisify(execFile);

describe('a verdict', () => {
  it('is the one of NGINX', { timeout: 60_000 }, async () => {
    const home = await mkdtemp(join(tmpdir(), 'interlock-secrets-'));
    try {
      const nginx = await nginxScript(home, await nginxRoot());
      const differing: string[] = [];
      for (const { name, certificate, key } of pemCases()) {
        const taken = await nginxTakes(home, nginx, certificate, key);
        const text = (secret: string) => ({ kind: 'text', text: secret === 'crt' ? certificate : key }) as const;
        const { usable } = examinePair({ certificate: 'crt', key: 'key', hosts: [HOST] }, text, Date.now());
        // OpenSSL keeps a key per kind and does not compare these two; the handshake then fails, so the host has no TLS either way.
        if (taken !== usable && name !== 'a key of another kind') {
          differing.push(`${name}: NGINX ${taken ? 'takes' : 'refuses'} it`);
        }
      }
      expect(differing).toEqual([]);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  });
});

async function nginxTakes(home: string, nginx: string, certificate: string, key: string): Promise<boolean> {
  await writeFile(join(home, 'crt'), certificate);
  await writeFile(join(home, 'key'), key);
  const temp = ['client_body', 'proxy', 'fastcgi', 'scgi', 'uwsgi'].map((name) => `${name}_temp_path ${home}/${name};`);
  const server = `server { listen unix:${home}/s ssl; ssl_certificate ${home}/crt; ssl_certificate_key ${home}/key; }`;
  await writeFile(
    join(home, 'nginx.conf'),
    `pid ${home}/pid; error_log stderr; events {} http { access_log off; ${temp.join(' ')} ${server} }`,
  );
  const asking = run(nginx, ['-t', '-e', 'stderr', '-c', join(home, 'nginx.conf')]);
  asking.child.stdin?.end(); // it would ask for a passphrase
  return asking.then(
    () => true,
    () => false,
  );
}

describe('one bad pair of three hosts', () => {
  it('costs that host TLS, and nobody anything', { timeout: 60_000 }, async () => {
    const [http, tls] = [await freePort(), await freePort()];
    const authority = createAuthority();
    const [one, three] = [authority.issue(['one.local']), authority.issue(['three.local'])];
    const plain = model(
      { 'one.local': { '/': [] }, 'two.local': { '/': [] }, 'three.local': { '/': [] } },
      { listen: { http: port(http), tls: port(tls) } },
    );
    const hosts = plain.hosts.map((entry) => ({ ...entry, tls: terminate(entry.host.split('.')[0] ?? '') }));
    const { artifact } = renderNginx({ ...plain, hosts }, DEFAULT_NGINX_OPTIONS, { serverInfo: 'interlock/test' });
    await using agent = await startAgentProcess({
      env: {},
      mounted: artifact.files[0]?.bytes ?? '',
      secrets: {
        'one.crt': one.certificate,
        'one.key': one.key,
        'two.crt': one.certificate,
        'two.key': three.key,
        'three.crt': three.certificate,
        'three.key': three.key,
      },
    });
    await agent.master();

    const outcomes = await Promise.all(
      ['one.local', 'two.local', 'three.local'].map(async (name) => [
        name,
        await handshake(tls, name, authority.certificate),
        await statusOf(http, name),
      ]),
    );
    expect(outcomes).toEqual([
      ['one.local', 'one.local', 503],
      ['two.local', 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME', 503],
      ['three.local', 'three.local', 503],
    ]);
    const codes = (await agent.log()).flatMap(({ msg, finding }) =>
      msg === 'finding' ? [(finding as { code: string }).code] : [],
    );
    expect(codes).toEqual(['SECRET.KEY_MISMATCH']);
  });
});

function terminate(name: string): HostTls {
  const file = (secret: string) => ({ secret: secret as SecretName, path: `/run/secrets/${secret}` });
  return { kind: 'terminate', certificate: file(`${name}.crt`), key: file(`${name}.key`), only: false };
}

/** The common name that was shown, or the code of the failure. */
function handshake(at: number, servername: string, ca: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: at, servername, ca }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.end();
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

function statusOf(at: number, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port: at, headers: { host }, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).once('error', reject);
  });
}
