/**
 * Looks at secrets as NGINX would: which pairs and CAs it would refuse, and what people should know of the others. Comes in: the bytes of
 * secret files. Goes out: verdicts and findings; never a byte of a key.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createFinding, type Finding, type FindingCode } from '../../model/finding.ts';
import type { PairReference } from './references.ts';

/** A secret's text, or why there is none. */
export type SecretText =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly why: string };

export interface PairVerdict {
  readonly usable: boolean;
  readonly findings: readonly Finding[];
}

const CERTIFICATE_LABEL = 'com.docker.lb.ssl_cert';
const KEY_LABEL = 'com.docker.lb.ssl_key';
const CA_LABEL = 'com.docker.lb.ssl_backend_ca';
const DAY_MS = 24 * 60 * 60 * 1_000;
const SOON_DAYS = 14;
/** OpenSSL's security level 2, the default of the base images, takes no smaller one. */
const SMALLEST_RSA_BITS = 2_048;
const SMALLEST_CURVE_BITS = 224;

/** A problem that makes the pair unusable. Thrown and caught in this file alone. */
class Unusable extends Error {
  readonly finding: Finding;

  constructor(code: FindingCode, subject: string, secret: string, advice: string) {
    super(advice);
    this.finding = createFinding(code, advice, { subject, value: secret });
  }
}

/** `nowMs`: expiry is a matter of the moment. `hosts`: those that use the pair. */
export function examinePair(
  pair: PairReference & { readonly hosts: readonly string[] },
  read: (name: string) => SecretText,
  nowMs: number,
): PairVerdict {
  try {
    const certificate = leafOf(textOf(pair.certificate, CERTIFICATE_LABEL, read), pair.certificate);
    const subject = pair.key === pair.certificate ? CERTIFICATE_LABEL : KEY_LABEL;
    const key = keyOf(textOf(pair.key, subject, read), pair.key, subject);
    checkFit(certificate, key, pair, subject);
    return { usable: true, findings: remarksOn(certificate, pair, nowMs) };
  } catch (error) {
    if (!(error instanceof Unusable)) {
      throw error;
    }
    return { usable: false, findings: [error.finding] };
  }
}

/** A finding when NGINX would refuse it as `proxy_ssl_trusted_certificate`. */
export function examineAuthority(name: string, read: (name: string) => SecretText): Finding | undefined {
  const secret = read(name);
  const blocks = secret.kind === 'text' ? pemBlocks(secret.text).filter(isCertificate) : [];
  return blocks.length > 0 && blocks.every((block) => parseCertificate(block.pem) !== undefined)
    ? undefined
    : createFinding(
        'SECRET.CA_UNUSABLE',
        `${secret.kind === 'missing' ? 'The secret is not mounted in this proxy yet' : 'The secret holds no certificate in PEM form'}; no service can be verified with it.`,
        { subject: CA_LABEL, value: name },
      );
}

function textOf(name: string, subject: string, read: (name: string) => SecretText): string {
  const secret = read(name);
  switch (secret.kind) {
    case 'text':
      return secret.text;
    case 'missing':
      throw new Unusable(
        'SECRET.NOT_MOUNTED',
        subject,
        name,
        'The secret is not mounted in this proxy yet: core attaches it with the next roll.',
      );
    case 'unreadable':
      throw new Unusable('SECRET.UNREADABLE', subject, name, `The secret cannot be read: ${secret.why}.`);
  }
}

/** The first one is the host's own; the rest of the chain must parse too, or NGINX refuses the file. */
function leafOf(text: string, name: string): X509Certificate {
  const certificates = pemBlocks(text)
    .filter(isCertificate)
    .map(({ pem }) => parseCertificate(pem));
  const [leaf] = certificates;
  if (leaf === undefined || certificates.includes(undefined)) {
    throw new Unusable(
      'SECRET.NOT_PEM',
      CERTIFICATE_LABEL,
      name,
      'The secret must hold the certificate in PEM form (-----BEGIN CERTIFICATE-----), and after it the chain, if any.',
    );
  }
  const weak = certificates.flatMap((each) => (each === undefined ? [] : (weaknessOf(each.publicKey) ?? [])))[0];
  if (weak !== undefined) {
    throw new Unusable(
      'SECRET.KEY_TOO_SMALL',
      CERTIFICATE_LABEL,
      name,
      `A key of the certificate's chain is too small: ${weak}.`,
    );
  }
  return leaf;
}

/** NGINX refuses the whole file for one key in the chain below OpenSSL's security level 2 (112 bits), the leaf's or a CA's. */
function weaknessOf(key: KeyObject): string | undefined {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (modulusLength !== undefined && modulusLength < SMALLEST_RSA_BITS) {
    return `it has ${modulusLength} bits, and NGINX takes ${SMALLEST_RSA_BITS} or more`;
  }
  // The names of curves say their size: prime192v1, secp256k1, brainpoolP160r1, sect163k1.
  const curveBits = Number(/\d{3}/.exec(namedCurve ?? '')?.[0] ?? SMALLEST_CURVE_BITS);
  return curveBits < SMALLEST_CURVE_BITS
    ? `it is on the curve ${namedCurve}, and NGINX takes ${SMALLEST_CURVE_BITS} bits or more`
    : undefined;
}

function keyOf(text: string, name: string, subject: string): KeyObject {
  const block = pemBlocks(text).find(({ type }) => type.endsWith('PRIVATE KEY'));
  if (block === undefined) {
    throw new Unusable(
      'SECRET.NOT_PEM',
      subject,
      name,
      'The secret must hold the private key in PEM form (-----BEGIN PRIVATE KEY-----).',
    );
  }
  if (block.type.startsWith('ENCRYPTED') || /^Proc-Type: 4,ENCRYPTED/m.test(block.pem)) {
    throw new Unusable(
      'SECRET.KEY_ENCRYPTED',
      subject,
      name,
      'The private key has a passphrase, and nobody is there to type it: store the key without one.',
    );
  }
  try {
    return createPrivateKey(block.pem);
  } catch {
    // What OpenSSL says may quote the text, and the text is a key.
    throw new Unusable(
      'SECRET.NOT_PEM',
      subject,
      name,
      'The private key cannot be read: it is damaged or of a kind that OpenSSL does not know.',
    );
  }
}

function checkFit(certificate: X509Certificate, key: KeyObject, pair: PairReference, subject: string): void {
  if (!certificate.checkPrivateKey(key)) {
    throw new Unusable(
      'SECRET.KEY_MISMATCH',
      subject,
      pair.key,
      `The private key is not the one of the certificate in ${pair.certificate}.`,
    );
  }
}

function remarksOn(
  certificate: X509Certificate,
  { certificate: name, hosts }: PairReference & { readonly hosts: readonly string[] },
  nowMs: number,
): readonly Finding[] {
  const about = { subject: CERTIFICATE_LABEL, value: name };
  const leftDays = (Date.parse(certificate.validTo) - nowMs) / DAY_MS;
  const findings: Finding[] = [];
  if (leftDays <= 0) {
    findings.push(createFinding('SECRET.EXPIRED', `The certificate has expired: ${certificate.validTo}.`, about));
  } else if (leftDays <= SOON_DAYS) {
    findings.push(createFinding('SECRET.EXPIRES_SOON', `The certificate expires: ${certificate.validTo}.`, about));
  }
  const uncovered = hosts.filter((host) => !covers(certificate, host));
  if (uncovered.length > 0) {
    const more = uncovered.length > 3 ? ` and ${uncovered.length - 3} more` : '';
    const advice = `The certificate does not cover ${uncovered.slice(0, 3).join(', ')}${more}.`;
    findings.push(createFinding('SECRET.HOST_NOT_COVERED', advice, about));
  }
  return findings;
}

/** A wildcard host is covered by a certificate for any one name below it. */
function covers(certificate: X509Certificate, host: string): boolean {
  return certificate.checkHost(host.replace(/^\*/, 'any-name')) !== undefined;
}

interface PemBlock {
  readonly type: string;
  readonly pem: string;
}

/** As OpenSSL finds them: a line must begin with the dashes, a byte order mark aside, and what stands around the blocks does not count. */
function pemBlocks(text: string): readonly PemBlock[] {
  return Array.from(
    text
      .replace(/^\ufeff/, '')
      .matchAll(/^-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n[^-]*(?:-(?!----)[^-]*)*-----END \1-----/gm),
    ([pem, type = '']) => ({ type, pem }),
  );
}

function isCertificate({ type }: PemBlock): boolean {
  return type === 'CERTIFICATE' || type === 'X509 CERTIFICATE' || type === 'TRUSTED CERTIFICATE';
}

function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}
