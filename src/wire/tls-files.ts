/**
 * Mutual TLS on the gRPC API: the three files of one side, read once. A Docker secret never changes under its name, so a new certificate
 * comes with a new task. In: paths. Out: PEM texts that fit together.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Clock } from '../runtime/clock.ts';
import { OperationalError, toError } from '../runtime/errors.ts';

/** Absolute paths. */
export interface TlsPaths {
  /** Our own certificate; the certificates between it and the CA may follow. */
  readonly certPath: string;
  readonly keyPath: string;
  /** The CA of the other side; several while one takes the place of another. */
  readonly caPath: string;
}

/** PEM texts. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/**
 * @throws OperationalError SETTINGS.UNREADABLE naming the file; SETTINGS.INVALID for what is no PEM, and for a key that is not that of
 * the certificate. An expired certificate is read as any other: the other side refuses it.
 */
export function readTlsFiles({ certPath, keyPath, caPath }: TlsPaths): TlsMaterial {
  const cert = readPem(certPath, firstCertificate);
  const key = readPem(keyPath, createPrivateKey);
  const ca = readPem(caPath, firstCertificate);
  if (!firstCertificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new OperationalError('SETTINGS.INVALID', `${keyPath} is not the key of the certificate in ${certPath}`);
  }
  return { cert, key, ca };
}

/** Whether the other side refuses it now, in words; `undefined`: it does not, as far as the time goes. */
export function whyOutOfTime({ cert }: Pick<TlsMaterial, 'cert'>, clock: Pick<Clock, 'now'>): string | undefined {
  const { validFrom, validTo } = firstCertificate(cert);
  if (clock.now() > Date.parse(validTo)) {
    return `it expired on ${validTo}`;
  }
  return clock.now() < Date.parse(validFrom) ? `it is valid from ${validFrom} only` : undefined;
}

function readPem(path: string, parse: (pem: string) => unknown): string {
  const pem = readText(path);
  try {
    parse(pem);
  } catch (cause) {
    throw new OperationalError('SETTINGS.INVALID', `${path} holds nothing that can be used: ${toError(cause).message}`);
  }
  return pem;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OperationalError('SETTINGS.UNREADABLE', `cannot read ${path}: ${toError(cause).message}`, { cause });
  }
}

function firstCertificate(pem: string): X509Certificate {
  return new X509Certificate(pem);
}
