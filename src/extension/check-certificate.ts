/**
 * A throw-away certificate with its key, so that `nginx -t` can load something where the proxy will have a secret.
 * X.509 by hand (RFC 5280, version 1, self-signed, P-256), because Node makes keys and signatures but no certificates.
 */
import { generateKeyPairSync, sign } from 'node:crypto';

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OBJECT_ID = 0x06;
const UTF8_STRING = 0x0c;
const GENERALIZED_TIME = 0x18;

/** ecdsa-with-SHA256, RFC 5758: 1.2.840.10045.4.3.2. */
const ECDSA_SHA256 = der(SEQUENCE, der(OBJECT_ID, Buffer.from('2a8648ce3d040302', 'hex')));
/** commonName: 2.5.4.3. */
const COMMON_NAME = der(OBJECT_ID, Buffer.from('550403', 'hex'));

/** PEM text: the certificate, then its private key. */
export function createCheckCertificate(): string {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const name = der(SEQUENCE, der(SET, der(SEQUENCE, COMMON_NAME, der(UTF8_STRING, Buffer.from('interlock check')))));
  const validity = der(SEQUENCE, time('20200101000000Z'), time('99991231235959Z'));
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const body = der(SEQUENCE, der(INTEGER, Buffer.from([1])), ECDSA_SHA256, name, validity, name, spki);
  const signature = der(BIT_STRING, Buffer.from([0]), sign('sha256', body, privateKey));
  const certificate = der(SEQUENCE, body, ECDSA_SHA256, signature).toString('base64');
  const lines = certificate.match(/.{1,64}/g) ?? [];
  const pem = ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
  return pem + privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function time(text: string): Buffer {
  return der(GENERALIZED_TIME, Buffer.from(text));
}

/** Tag, length, content: X.690 section 8.1. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) {
    return Buffer.from([length]);
  }
  return length < 0x100 ? Buffer.from([0x81, length]) : Buffer.from([0x82, length >> 8, length & 0xff]);
}
