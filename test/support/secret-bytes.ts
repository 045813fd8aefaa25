/** Bytes that no log may hold, in what a secret's file holds, and how they look when they are printed by mistake. */

/** The whole text, or of PEM files the lines of private keys: whole ones are enough, and no line of a certificate is among them. */
export function secretBytesOf(text: string): readonly string[] {
  return (text.includes('-----BEGIN ') ? keyLines(text) : [text.trim()]).filter((bytes) => bytes.length > 16);
}

function keyLines(text: string): readonly string[] {
  const keys = [...text.matchAll(/-----BEGIN [A-Z ]*PRIVATE KEY-----\n([\s\S]*?)-----END/g)];
  return keys.flatMap(([, body = '']) => body.split('\n'));
}

/** What of the secrets a log holds: as it is, as base64, as hex or as a list of bytes. Never the secret itself: the first four characters. */
export function printedSecrets(log: string, secrets: readonly string[]): readonly string[] {
  return secrets.flatMap((secret) =>
    spellings(secret).flatMap((spelling) => (log.includes(spelling) ? [`${spelling.slice(0, 4)}...`] : [])),
  );
}

function spellings(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  return [secret, bytes.toString('base64').replace(/=+$/, ''), bytes.toString('hex'), bytes.join(',')];
}
