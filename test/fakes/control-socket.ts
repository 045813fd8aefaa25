/** A manager's control socket in a temporary folder: the real protocol over TLS, with a certificate authority of its own. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { encodeWatchMessage, WATCH_PATH, type WatchMessage } from '../../src/swarmkit/messages.ts';

export interface ControlSocket {
  readonly socketPath: string;
  readonly trustRoot: string;
  /** The bytes of each request so far. */
  readonly requests: readonly Buffer[];
  /** To every open stream. */
  send(message: Partial<WatchMessage>): void;
  sendBytes(bytes: Buffer): void;
  end(code: number, words: string): void;
  close(): Promise<void>;
}

export async function openControlSocket(names = 'DNS:swarm-manager'): Promise<ControlSocket> {
  const folder = mkdtempSync(path.join(tmpdir(), 'control-'));
  const { ca, key, certificate } = makeCertificates(folder, names);
  const socketPath = path.join(folder, 'control.sock');
  const requests: Buffer[] = [];
  const streams = new Set<ServerWritableStream<Buffer, Buffer>>();
  const server = new Server();
  const asIs = (bytes: Buffer): Buffer => bytes;
  server.addService(
    {
      watch: {
        path: WATCH_PATH,
        requestStream: false,
        responseStream: true,
        requestSerialize: asIs,
        requestDeserialize: asIs,
        responseSerialize: asIs,
        responseDeserialize: asIs,
      },
    },
    {
      watch(call: ServerWritableStream<Buffer, Buffer>) {
        requests.push(call.request);
        streams.add(call);
        call.on('cancelled', () => streams.delete(call));
        call.write(encodeWatchMessage({ events: [] }));
      },
    },
  );
  const credentials = ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: certificate }]);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, credentials, (error) => (error ? reject(error) : resolve()));
  });
  const sendBytes = (bytes: Buffer): void => {
    for (const stream of streams) {
      stream.write(bytes);
    }
  };
  return {
    socketPath,
    trustRoot: ca,
    requests,
    send: (message) => sendBytes(encodeWatchMessage(message)),
    sendBytes,
    end(code, words) {
      for (const stream of streams) {
        stream.emit('error', { code, details: words });
      }
      streams.clear();
    },
    async close() {
      server.forceShutdown();
      rmSync(folder, { recursive: true, force: true });
      await Promise.resolve();
    },
  };
}

function makeCertificates(folder: string, names: string) {
  const file = (name: string): string => path.join(folder, name);
  const openssl = (...args: readonly string[]): void => {
    execFileSync('openssl', args, { stdio: 'ignore' });
  };
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...ec,
    '-days',
    '2',
    '-subj',
    '/CN=swarm-ca',
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.pem'),
  );
  openssl('req', ...ec, '-subj', '/OU=swarm-manager/CN=node', '-keyout', file('key'), '-out', file('csr'));
  writeFileSync(file('ext'), `subjectAltName=${names}\n`);
  const signed = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2'];
  openssl('x509', '-req', '-in', file('csr'), ...signed, '-extfile', file('ext'), '-out', file('cert'));
  return {
    ca: readFileSync(file('ca.pem'), 'utf8'),
    key: readFileSync(file('key')),
    certificate: readFileSync(file('cert')),
  };
}
