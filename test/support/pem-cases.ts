/** Certificate files as people store them, good and bad; what NGINX makes of each is asked of NGINX. */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { createAuthority } from './certificates.ts';

export interface PemCase {
  readonly name: string;
  readonly certificate: string;
  readonly key: string;
  /** What the agent should make of it. */
  readonly usable: boolean;
  /** Of the findings. */
  readonly codes: readonly string[];
}

export const HOST = 'app.example.com';

export function pemCases(): readonly PemCase[] {
  const authority = createAuthority();
  const good = authority.issue([HOST]);
  const rsa = authority.issue([HOST], { keys: 'rsa' });
  const other = authority.issue([HOST]);
  const weak = createAuthority('weak CA', 'weak-rsa');
  const ofWeak = weak.issue([HOST]);
  const keyOf = (pem: string) => createPrivateKey(pem);
  const encrypted = keyOf(good.key).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
  const legacy = keyOf(rsa.key).export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
  const both = `${good.certificate}${good.key}`;
  const ok = { usable: true, codes: [] };
  const no = (code: string) => ({ usable: false, codes: [code] });
  return [
    { name: 'EC', ...good, ...ok },
    { name: 'RSA', ...rsa, ...ok },
    {
      name: 'EC in SEC1 form',
      certificate: good.certificate,
      key: String(keyOf(good.key).export({ type: 'sec1', format: 'pem' })),
      ...ok,
    },
    {
      name: 'RSA in PKCS1 form',
      certificate: rsa.certificate,
      key: String(keyOf(rsa.key).export({ type: 'pkcs1', format: 'pem' })),
      ...ok,
    },
    { name: 'a chain', certificate: good.certificate + authority.certificate, key: good.key, ...ok },
    { name: "the key in the certificate's file", certificate: both, key: both, ...ok },
    { name: 'the key first', certificate: good.key + good.certificate, key: good.key + good.certificate, ...ok },
    {
      name: 'CRLF',
      certificate: good.certificate.replaceAll('\n', '\r\n'),
      key: good.key.replaceAll('\n', '\r\n'),
      ...ok,
    },
    {
      name: 'words around the blocks',
      certificate: `subject=CN\n${good.certificate}\ntrailing words\n`,
      key: `Bag Attributes\n${good.key}end`,
      ...ok,
    },
    { name: 'no final newline', certificate: good.certificate.trimEnd(), key: good.key.trimEnd(), ...ok },
    { name: 'a byte order mark', certificate: `\ufeff${good.certificate}`, key: good.key, ...ok },
    {
      name: 'a byte order mark before the key',
      certificate: good.certificate,
      key: `\ufeff${good.key}`,
      ...ok,
    },
    { name: 'another key', certificate: good.certificate, key: other.key, ...no('SECRET.KEY_MISMATCH') },
    {
      name: 'the CA first in the chain',
      certificate: authority.certificate + good.certificate,
      key: good.key,
      ...no('SECRET.KEY_MISMATCH'),
    },
    { name: 'a key of another kind', certificate: good.certificate, key: rsa.key, ...no('SECRET.KEY_MISMATCH') },
    {
      name: 'a weak CA in the chain',
      certificate: ofWeak.certificate + weak.certificate,
      key: ofWeak.key,
      ...no('SECRET.KEY_TOO_SMALL'),
    },
    { name: 'signed by a weak CA that is not in the file', ...ofWeak, ...ok },
    {
      name: 'a weak CA in the chain that signed nothing of it',
      certificate: good.certificate + weak.certificate,
      key: good.key,
      ...no('SECRET.KEY_TOO_SMALL'),
    },
    { name: 'RSA with 1024 bits', ...authority.issue([HOST], { keys: 'weak-rsa' }), ...no('SECRET.KEY_TOO_SMALL') },
    { name: 'P-192', ...authority.issue([HOST], { keys: 'weak-ec' }), ...no('SECRET.KEY_TOO_SMALL') },
    {
      name: 'RSA-PSS with 1024 bits',
      ...authority.issue([HOST], { keys: 'weak-rsa-pss' }),
      ...no('SECRET.KEY_TOO_SMALL'),
    },
    { name: 'an encrypted key', certificate: good.certificate, key: String(encrypted), ...no('SECRET.KEY_ENCRYPTED') },
    {
      name: 'an encrypted key of the old form',
      certificate: rsa.certificate,
      key: String(legacy),
      ...no('SECRET.KEY_ENCRYPTED'),
    },
    { name: 'nothing', certificate: '', key: good.key, ...no('SECRET.NOT_PEM') },
    { name: 'no key', certificate: good.certificate, key: '', ...no('SECRET.NOT_PEM') },
    { name: 'words only', certificate: 'hello', key: good.key, ...no('SECRET.NOT_PEM') },
    {
      name: 'a certificate in the place of the key',
      certificate: good.certificate,
      key: good.certificate,
      ...no('SECRET.NOT_PEM'),
    },
    {
      name: 'a truncated certificate',
      certificate: good.certificate.slice(0, 200),
      key: good.key,
      ...no('SECRET.NOT_PEM'),
    },
    {
      name: 'a damaged certificate',
      certificate: good.certificate.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA'),
      key: good.key,
      ...no('SECRET.NOT_PEM'),
    },
    {
      name: 'a damaged chain',
      certificate: good.certificate + authority.certificate.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA'),
      key: good.key,
      ...no('SECRET.NOT_PEM'),
    },
    {
      name: 'a damaged key',
      certificate: good.certificate,
      key: good.key.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA'),
      ...no('SECRET.NOT_PEM'),
    },
    { name: 'an expired one', ...authority.issue([HOST], { expired: true }), usable: true, codes: ['SECRET.EXPIRED'] },
    {
      name: 'one of another host',
      ...authority.issue(['other.example.com']),
      usable: true,
      codes: ['SECRET.HOST_NOT_COVERED'],
    },
    {
      name: 'a public key in the place of the key',
      certificate: good.certificate,
      key: String(
        generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey.export({ type: 'spki', format: 'pem' }),
      ),
      ...no('SECRET.NOT_PEM'),
    },
  ];
}
