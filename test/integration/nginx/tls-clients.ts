/** Clients and services that speak TLS, for the traffic tests. Names are never resolved: everything is on loopback. */
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect as connectTcp, createServer as createTcp } from 'node:net';
import { type ConnectionOptions, connect, TLSSocket } from 'node:tls';
import type { ClusterHeader, ClusterModel, HostEntry, HostTls, SecretFile } from '../../../src/model/cluster.ts';
import type { Redirect } from '../../../src/model/intent.ts';
import { parseHostname, parseSecretName } from '../../../src/model/names.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { parseNginxOptions } from '../../../src/settings/nginx-options.ts';
import type { Certificate } from '../../support/certificates.ts';
import { model, port, SERVER_INFO } from '../../support/render-models.ts';
import { parseAnswer, type RawAnswer } from './services.ts';

export function filesOf(cluster: ClusterModel, table: Readonly<Record<string, unknown>> = {}) {
  const parsed = parseNginxOptions({ WorkerProcesses: 2, ...table }, 'Config');
  if (!parsed.ok) {
    throw new Error(JSON.stringify(parsed.problems));
  }
  return renderNginx(cluster, parsed.options, { serverInfo: SERVER_INFO }).artifact.files;
}

/** A model like `model`'s; `tls` and `redirects` by host. A host that is in these alone has no route. */
export function site(
  routes: Parameters<typeof model>[0],
  { tls = {}, redirects = [], header = {} }: SiteOptions,
): ClusterModel {
  const plain = model(routes, header);
  const more = [...Object.keys(tls), ...redirects.map(({ source }) => source.host)].filter((name) => !(name in routes));
  const bare = [...new Set(more)].map(
    (name): HostEntry => ({ host: hostname(name), tls: { kind: 'none' }, redirects: [], routes: [] }),
  );
  return {
    ...plain,
    hosts: [...plain.hosts, ...bare].map((entry) => ({
      ...entry,
      tls: tls[entry.host] ?? entry.tls,
      redirects: redirects.filter(({ source }) => source.host === entry.host),
    })),
  };
}

interface SiteOptions {
  readonly tls?: Readonly<Record<string, HostTls>>;
  readonly redirects?: readonly Redirect[];
  readonly header?: Partial<ClusterHeader>;
}

function hostname(text: string) {
  const found = parseHostname(text);
  if (found === undefined) {
    throw new Error(`not a host: ${text}`);
  }
  return found;
}

export function secretFile(name: string): SecretFile {
  const secret = parseSecretName(name);
  if (secret === undefined) {
    throw new Error(`not a secret's name: ${name}`);
  }
  return { secret, path: `/run/secrets/${secret}` };
}

/** `<name>.crt` and `<name>.key`. */
export function terminate(name: string, only = false): HostTls {
  return { kind: 'terminate', certificate: secretFile(`${name}.crt`), key: secretFile(`${name}.key`), only };
}

export function passthrough(pool: string): HostTls {
  return { kind: 'passthrough', pool };
}

/** The files that `terminate(name)` names. */
export function secretsOf(pairs: Readonly<Record<string, Certificate>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(pairs).flatMap(([name, { certificate, key }]) => [
      [`${name}.crt`, certificate],
      [`${name}.key`, key],
    ]),
  );
}

/** Ports of loopback for a header. */
export function listenOn(http: number, tls: number): Pick<ClusterHeader, 'listen'> {
  return { listen: { http: port(http), tls: port(tls) } };
}

/** `url`: `http://old.local` or `https://new.local:8443`. */
export function redirect(from: string, to: string): Redirect {
  return { source: origin(from), target: origin(to) };
}

function origin(url: string): Redirect['source'] {
  const [, scheme, name = '', portText] = /^(https?):\/\/([^:]+)(?::(\d+))?$/.exec(url) ?? [];
  return {
    scheme: scheme === 'https' ? 'https' : 'http',
    host: hostname(name),
    port: portText === undefined ? undefined : port(Number(portText)),
  };
}

/** `undefined` sends no SNI. Certificates are not verified unless `ca` is given. */
export interface TlsOptions extends ConnectionOptions {
  readonly sni: string | undefined;
  /** An address of loopback to come from. */
  readonly localAddress?: string;
  /** Said before the handshake begins: a PROXY header. */
  readonly before?: string;
}

function connectionOptions(
  portNumber: number,
  { sni, before, localAddress, ...options }: TlsOptions,
): ConnectionOptions {
  const socket = connectTcp({ host: '127.0.0.1', port: portNumber, ...(localAddress && { localAddress }) });
  if (before !== undefined) {
    socket.write(before);
  }
  return {
    socket,
    rejectUnauthorized: options.ca !== undefined,
    ...(sni === undefined ? {} : { servername: sni }),
    ...options,
  };
}

export interface Handshake {
  /** The common name of the certificate. */
  readonly certificate: string;
  readonly alpn: string | false | null;
  readonly protocol: string | null;
  readonly cipher: string;
}

/** What a handshake comes to; its error's code when it fails, e.g. `ERR_SSL_TLSV1_UNRECOGNIZED_NAME`. */
export function handshake(portNumber: number, options: TlsOptions): Promise<Handshake | string> {
  return new Promise((resolve) => {
    const socket: TLSSocket = connect(connectionOptions(portNumber, options), () => {
      resolve({
        certificate: String(socket.getPeerCertificate().subject.CN),
        alpn: socket.alpnProtocol,
        protocol: socket.getProtocol(),
        cipher: socket.getCipher().name,
      });
      socket.destroy();
    });
    socket.setTimeout(10_000, () => socket.destroy(new Error('no handshake within 10 s')));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message);
    });
  });
}

/** Bytes over TLS, as they are, until the server closes. Rejects with the handshake's error. */
export function sendTls(portNumber: number, options: TlsOptions, text: string): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(connectionOptions(portNumber, options), () => socket.write(text, 'latin1'));
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => {
      resolve(parseAnswer(Buffer.concat(chunks).toString('latin1')));
    });
  });
}

/** GET over TLS; Host is the SNI unless said otherwise. */
export function getTls(
  portNumber: number,
  options: TlsOptions,
  { host = options.sni ?? '', path = '/', headers = '' } = {},
): Promise<RawAnswer> {
  return sendTls(portNumber, options, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${headers}\r\n`);
}

/** An HTTP/2 session over TLS to `sni`. */
export function openHttp2(portNumber: number, options: TlsOptions): ClientHttp2Session {
  const session = connectHttp2(`https://${options.sni ?? 'none'}`, {
    createConnection: () => connect({ ...connectionOptions(portNumber, options), ALPNProtocols: ['h2'] }),
  });
  // Each request fails with it.
  session.on('error', () => undefined);
  return session;
}

export interface Http2Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

export function askHttp2(session: ClientHttp2Session, authority: string, path = '/', body = ''): Promise<Http2Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': body === '' ? 'GET' : 'POST',
      ':authority': authority,
      ':path': path,
    });
    const answer = { status: 0, headers: {} as Record<string, unknown>, body: '' };
    stream.on('response', (headers) => {
      answer.status = Number(headers[':status']);
      answer.headers = headers;
    });
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      answer.body += chunk;
    });
    stream.on('error', reject);
    stream.on('end', () => {
      resolve(answer);
    });
    if (body !== '') {
      stream.end(body);
    }
  });
}

export interface TlsService extends AsyncDisposable {
  readonly port: number;
  readonly connections: number;
}

/** A service that ends TLS itself: answers with its name, the SNI it saw and the peer's address. */
export async function startTlsService(service: string, { certificate, key }: Certificate): Promise<TlsService> {
  let connections = 0;
  const server = createServer({ cert: certificate, key }, (request, response) => {
    const servername = request.socket instanceof TLSSocket ? request.socket.servername : undefined;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ service, sni: servername, headers: request.headers }));
  });
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A forwarder on loopback that sends what a client says in pieces of `size` bytes, each in a packet of its own. */
export async function startDripper(target: number, size: number): Promise<TlsService> {
  const server = createTcp((client) => {
    const upstream = connectTcp(target, '127.0.0.1').setNoDelay(true);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    upstream.pipe(client);
    void (async () => {
      for await (const chunk of client as AsyncIterable<Buffer>) {
        for (let at = 0; at < chunk.length; at += size) {
          upstream.write(chunk.subarray(at, at + size));
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
      upstream.end();
    })().catch(() => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections: 0,
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
