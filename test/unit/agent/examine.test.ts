import { describe, expect, it } from 'vitest';
import { examineAuthority, examinePair, type SecretText } from '../../../src/agent/localise/examine.ts';
import { createAuthority } from '../../support/certificates.ts';
import { HOST, pemCases } from '../../support/pem-cases.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const text = (content: string): SecretText => ({ kind: 'text', text: content });
const pair = { certificate: 'crt', key: 'key', hosts: [HOST] };

describe('examinePair', () => {
  it.each(pemCases().map((each) => [each.name, each] as const))('%s', (_name, { certificate, key, usable, codes }) => {
    const verdict = examinePair(pair, (name) => text(name === 'crt' ? certificate : key), NOW);

    expect(verdict.usable).toBe(usable);
    expect(verdict.findings.map(({ code }) => code)).toEqual(codes);
  });

  it('says nothing of what is in a key', () => {
    for (const { certificate, key } of pemCases()) {
      const { findings } = examinePair(pair, (name) => text(name === 'crt' ? certificate : key), NOW);
      const words = JSON.stringify(findings);
      const lines = key.split(/\r?\n/).filter((line) => line.length > 20 && !line.startsWith('-----'));
      expect(lines.filter((line) => words.includes(line.slice(0, 16)))).toEqual([]);
    }
  });

  it.each([
    [{ kind: 'missing' }, 'SECRET.NOT_MOUNTED'],
    [{ kind: 'unreadable', why: 'EACCES' }, 'SECRET.UNREADABLE'],
  ] as const)('%j is %s', (secret, code) => {
    const verdict = examinePair(pair, () => secret, NOW);
    expect([verdict.usable, verdict.findings.map((finding) => finding.code)]).toEqual([false, [code]]);
  });

  it.each([
    ['*.example.com', ['*.example.com'], []],
    ['*.example.com', ['a.example.com'], ['SECRET.HOST_NOT_COVERED']],
    ['a.example.com', ['*.example.com'], []],
    ['a.b.example.com', ['*.example.com'], ['SECRET.HOST_NOT_COVERED']],
    ['b.example.com', ['a.example.com', 'b.example.com'], []],
  ])('a certificate for %s is held against its names', (host, names, codes) => {
    const { certificate, key } = createAuthority().issue(names);
    const verdict = examinePair({ ...pair, hosts: [host] }, (name) => text(name === 'crt' ? certificate : key), NOW);
    expect([verdict.usable, verdict.findings.map(({ code }) => code)]).toEqual([true, codes]);
  });

  it('warns two weeks before the end', () => {
    const { certificate, key } = createAuthority().issue([HOST], { expired: true });
    const read = (name: string) => text(name === 'crt' ? certificate : key);
    const codesAt = (time: string) => examinePair(pair, read, Date.parse(time)).findings.map(({ code }) => code);
    expect(codesAt('2020-12-10T00:00:00Z')).toEqual([]);
    expect(codesAt('2020-12-25T00:00:00Z')).toEqual(['SECRET.EXPIRES_SOON']);
    expect(codesAt('2021-01-02T00:00:00Z')).toEqual(['SECRET.EXPIRED']);
  });
});

describe('examineAuthority', () => {
  it('takes certificates and nothing else', () => {
    const { certificate } = createAuthority();
    expect(examineAuthority('ca', () => text(certificate))).toBeUndefined();
    expect(examineAuthority('ca', () => text(certificate + certificate))).toBeUndefined();
    for (const bad of ['', 'hello', certificate.slice(0, 100)]) {
      expect(examineAuthority('ca', () => text(bad))?.code).toBe('SECRET.CA_UNUSABLE');
    }
    expect(examineAuthority('ca', () => ({ kind: 'missing' }))?.code).toBe('SECRET.CA_UNUSABLE');
  });
});
