/**
 * Certificates for tests, as PEM: a CA, and what it signs. X.509 v3 by hand (RFC 5280), because Node makes keys and signatures but no
 * certificates.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_ID = 0x06;
const UTF8_STRING = 0x0c;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const TRUE = Buffer.from([0x01, 0x01, 0xff]);

/** ecdsa-with-SHA256 (RFC 5758), sha256WithRSAEncryption (RFC 4055). */
const SIGNATURES = {
  ec: der(SEQUENCE, oid('2a8648ce3d040302')),
  rsa: der(SEQUENCE, oid('2a864886f70d01010b'), Buffer.from([0x05, 0x00])),
};
const COMMON_NAME = oid('550403');
const SUBJECT_ALT_NAME = oid('551d11');
const BASIC_CONSTRAINTS = oid('551d13');

export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

export type KeyKind = 'ec' | 'rsa' | 'weak-ec' | 'weak-rsa' | 'weak-rsa-pss';

export interface LeafOptions {
  /** Default `ec`, P-256; `rsa` has 2048 bits. The others are too weak for NGINX: P-192, and RSA-PSS with 1024 bits. */
  readonly keys?: KeyKind;
  /** Not after 2021. */
  readonly expired?: boolean;
}

export interface CertificateAuthority {
  readonly certificate: string;
  /** A certificate for these DNS names (wildcards too) and addresses, the first of them as its common name. */
  issue(names: readonly string[], options?: LeafOptions): Certificate;
}

/** `keys`: of the CA itself. */
export function createAuthority(name = 'interlock test CA', keys: KeyKind = 'ec'): CertificateAuthority {
  const { privateKey, publicKey } = keyPair(keys);
  const isAuthority = der(SEQUENCE, BASIC_CONSTRAINTS, TRUE, der(OCTET_STRING, der(SEQUENCE, TRUE)));
  const own = { issuer: name, signer: privateKey, subject: name, publicKey, until: '99991231235959Z' };
  return {
    certificate: signed({ ...own, extensions: [isAuthority] }),
    issue(names, { keys: ofLeaf = 'ec', expired = false } = {}) {
      const pair = keyPair(ofLeaf);
      const certificate = signed({
        issuer: name,
        signer: privateKey,
        subject: names[0] ?? '',
        publicKey: pair.publicKey,
        until: expired ? '20210101000000Z' : '99991231235959Z',
        extensions: [der(SEQUENCE, SUBJECT_ALT_NAME, der(OCTET_STRING, der(SEQUENCE, ...names.map(altName))))],
      });
      return { certificate, key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
    },
  };
}

function keyPair(kind: KeyKind): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  switch (kind) {
    case 'ec':
      return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'weak-ec':
      return generateKeyPairSync('ec', { namedCurve: 'prime192v1' });
    case 'weak-rsa':
      return generateKeyPairSync('rsa', { modulusLength: 1024 });
    case 'weak-rsa-pss':
      return generateKeyPairSync('rsa-pss', { modulusLength: 1024 });
  }
}

interface ToBeSigned {
  readonly issuer: string;
  readonly signer: KeyObject;
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly until: string;
  readonly extensions: readonly Buffer[];
}

function signed({ issuer, signer, subject, publicKey, until, extensions }: ToBeSigned): string {
  const algorithm = SIGNATURES[signer.asymmetricKeyType === 'rsa' ? 'rsa' : 'ec'];
  const body = der(
    SEQUENCE,
    der(VERSION, der(INTEGER, Buffer.from([2]))),
    der(INTEGER, Buffer.concat([Buffer.from([0x01]), randomBytes(15)])),
    algorithm,
    nameOf(issuer),
    der(SEQUENCE, time('20200101000000Z'), time(until)),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(EXTENSIONS, der(SEQUENCE, ...extensions)),
  );
  const signature = der(BIT_STRING, Buffer.from([0]), sign('sha256', body, signer));
  return pem(der(SEQUENCE, body, algorithm, signature));
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

function altName(name: string): Buffer {
  return isIP(name) === 4
    ? der(IP_ADDRESS, Buffer.from(name.split('.').map(Number)))
    : der(DNS_NAME, Buffer.from(name, 'latin1'));
}

function nameOf(commonName: string): Buffer {
  return der(SEQUENCE, der(SET, der(SEQUENCE, COMMON_NAME, der(UTF8_STRING, Buffer.from(commonName)))));
}

function time(text: string): Buffer {
  return der(GENERALIZED_TIME, Buffer.from(text));
}

function oid(hex: string): Buffer {
  return der(OBJECT_ID, Buffer.from(hex, 'hex'));
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
