/** The files that `TLSCACert`, `TLSCert` and `TLSKey` name, read: what the Docker API over TLS is dialled with. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { OperationalError, toError } from '../../runtime/errors.ts';
import type { DockerTls } from '../../settings/core-settings.ts';
import type { EngineTls } from './docker-url.ts';

/**
 * Read once, at the start: after an exchange of the files core is restarted, as after an edit of config.toml.
 * @throws OperationalError SETTINGS.UNREADABLE naming the key and the file; SETTINGS.INVALID for what is no PEM, for one of TLSCert
 * and TLSKey without the other, and for two that do not belong together.
 */
export function readEngineTls(tls: DockerTls | undefined): EngineTls | undefined {
  if (tls === undefined) {
    return undefined;
  }
  if ((tls.certPath === undefined) !== (tls.keyPath === undefined)) {
    throw invalid(`${tls.certPath === undefined ? 'TLSKey' : 'TLSCert'} is set alone: TLSCert and TLSKey go together`);
  }
  const ca = readPem('TLSCACert', tls.caPath, parseCertificate);
  const cert = readPem('TLSCert', tls.certPath, parseCertificate);
  const key = readPem('TLSKey', tls.keyPath, createPrivateKey);
  if (cert !== undefined && key !== undefined && !parseCertificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw invalid(`TLSKey (${tls.keyPath ?? ''}) is not the key of TLSCert (${tls.certPath ?? ''})`);
  }
  return { ca, cert, key, allowInsecure: tls.allowInsecure };
}

function readPem(name: string, path: string | undefined, parse: (pem: string) => unknown): string | undefined {
  if (path === undefined) {
    return undefined;
  }
  const pem = readText(name, path);
  try {
    parse(pem);
  } catch (cause) {
    throw invalid(`${name}: ${path} holds nothing that can be used: ${toError(cause).message}`);
  }
  return pem;
}

function readText(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OperationalError('SETTINGS.UNREADABLE', `${name}: cannot read ${path}: ${toError(cause).message}`, {
      cause,
    });
  }
}

/** The first of a chain. */
function parseCertificate(pem: string): X509Certificate {
  return new X509Certificate(pem);
}

function invalid(message: string): OperationalError {
  return new OperationalError('SETTINGS.INVALID', message);
}
