/** The Docker API over TLS, as the keys of config.toml ask for it: real TLS in front of the fake Engine. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDockerodeEngine } from '../../../../src/core/engine/dockerode-engine.ts';
import { readEngineTls } from '../../../../src/core/engine/tls-files.ts';
import { createFakeEngine, type FakeEngine } from '../../../fakes/engine/fake-engine.ts';
import { type Certificate, createAuthority } from '../../../support/certificates.ts';
import { coreSettings } from '../../../support/settings.ts';
import { openTlsDoor, type TlsDoor } from '../../../support/tls-door.ts';

const authority = createAuthority();
const stranger = createAuthority('somebody else');
const folder = mkdtempSync(path.join(tmpdir(), 'engine-tls-'));
const { signal } = new AbortController();
const doors: TlsDoor[] = [];
let fake: FakeEngine;
/** Ports: for 127.0.0.1, and with a certificate for another host. */
let port: number;
let misnamed: number;

beforeAll(async () => {
  fake = await createFakeEngine({ listen: 'tcp' });
  port = await openDoor(authority.issue(['localhost', '127.0.0.1']));
  misnamed = await openDoor(authority.issue(['elsewhere.example']));
});

afterAll(async () => {
  await Promise.all(doors.map((door) => door[Symbol.asyncDispose]()));
  await fake.close();
  rmSync(folder, { recursive: true, force: true });
});

async function openDoor(certificate: Certificate): Promise<number> {
  const door = await openTlsDoor(fake.dockerUrl, certificate, authority.certificate);
  doors.push(door);
  return door.port;
}

const written = { count: 0 };

function file(text: string): string {
  written.count += 1;
  const at = path.join(folder, `${written.count}.pem`);
  writeFileSync(at, text);
  return at;
}

const ca = file(authority.certificate);
const own = authority.issue(['core']);
const client = { TLSCert: file(own.certificate), TLSKey: file(own.key) };

interface Keys {
  readonly DockerURL?: string;
  readonly TLSCACert?: string;
  readonly TLSCert?: string;
  readonly TLSKey?: string;
  readonly AllowInsecure?: boolean;
}

function settingsOf(keys: Keys) {
  const lines = Object.entries({ DockerURL: `tcp://127.0.0.1:${port}`, ...keys });
  return coreSettings(
    `${lines.map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join('\n')}\n[Extensions.default]\n`,
  );
}

function info(keys: Keys) {
  const { dockerUrl, dockerTls } = settingsOf(keys);
  return createDockerodeEngine({ dockerUrl, tls: readEngineTls(dockerTls) }).info(signal);
}

describe('the Docker API over TLS', () => {
  it.each([
    ['tcp', () => ({})],
    ['https', () => ({ DockerURL: `https://127.0.0.1:${port}` })],
    ['a host name', () => ({ DockerURL: `tcp://localhost:${port}` })],
  ])('is spoken with a CA and a client certificate: %s', async (_, more) => {
    await expect(info({ TLSCACert: ca, ...client, ...more() })).resolves.toMatchObject({ isManager: true });
  });

  it('carries writes and events too', async () => {
    const { dockerUrl, dockerTls } = settingsOf({ TLSCACert: ca, ...client });
    const engine = createDockerodeEngine({ dockerUrl, tls: readEngineTls(dockerTls) });
    const stop = new AbortController();
    const events = engine.events(stop.signal)[Symbol.asyncIterator]();

    await expect(events.next()).resolves.toMatchObject({ value: { kind: 'connected' } });
    await engine.createConfig({ name: 'over-tls', labels: {}, bytes: Buffer.from('x') }, signal);
    await expect(events.next()).resolves.toMatchObject({ value: { kind: 'config', action: 'create' } });

    stop.abort();
    await expect(events.next()).rejects.toThrow();
  });

  it.each([
    ['no CA: the engine is not known', () => ({ ...client }), /certificate/i],
    ['the CA of somebody else', () => ({ TLSCACert: file(stranger.certificate), ...client }), /certificate|signature/i],
    [
      'a certificate for another host',
      () => ({ DockerURL: `tcp://127.0.0.1:${misnamed}`, TLSCACert: ca, ...client }),
      /altnames|IP/i,
    ],
    ['no client certificate', () => ({ TLSCACert: ca }), /alert|certificate|ECONNRESET|EPIPE|hang up|socket/i],
    ['no TLS at all', () => ({}), /./],
  ])('is refused with %s', async (_, keys, words) => {
    const seen = fake.calls.length;

    await expect(info(keys())).rejects.toMatchObject({
      code: 'ENGINE.UNREACHABLE',
      message: expect.stringMatching(words) as string,
    });
    expect(fake.calls).toHaveLength(seen);
  });

  it.each([
    ['the CA of somebody else', () => ({ TLSCACert: file(stranger.certificate) })],
    ['a certificate for another host', () => ({ DockerURL: `tcp://127.0.0.1:${misnamed}`, TLSCACert: ca })],
    ['no CA', () => ({})],
  ])('with AllowInsecure takes an engine in spite of %s', async (_, keys) => {
    await expect(info({ AllowInsecure: true, ...client, ...keys() })).resolves.toMatchObject({ isManager: true });
  });

  it('says nothing of keys without effect', () => {
    expect(settingsOf({ TLSCACert: ca, ...client }).dockerTls).toEqual({
      caPath: ca,
      certPath: client.TLSCert,
      keyPath: client.TLSKey,
      allowInsecure: false,
    });
    expect(readEngineTls(settingsOf({}).dockerTls)).toBeUndefined();
  });
});

describe('the files', () => {
  it.each([
    [
      'a missing file',
      () => ({ TLSCACert: '/nowhere/ca.pem' }),
      'SETTINGS.UNREADABLE',
      /TLSCACert.*\/nowhere\/ca\.pem/,
    ],
    ['a folder', () => ({ TLSCACert: folder }), 'SETTINGS.UNREADABLE', /TLSCACert.*EISDIR/],
    ['an empty file', () => ({ TLSCACert: file('') }), 'SETTINGS.INVALID', /TLSCACert/],
    ['a key for a CA', () => ({ TLSCACert: client.TLSKey }), 'SETTINGS.INVALID', /TLSCACert/],
    ['a certificate alone', () => ({ TLSCert: client.TLSCert }), 'SETTINGS.INVALID', /TLSCert is set alone/],
    ['a key alone', () => ({ TLSKey: client.TLSKey }), 'SETTINGS.INVALID', /TLSKey is set alone/],
    ['a certificate for a key', () => ({ ...client, TLSKey: client.TLSCert }), 'SETTINGS.INVALID', /TLSKey/],
    [
      'the key of another certificate',
      () => ({ ...client, TLSKey: file(authority.issue(['other']).key) }),
      'SETTINGS.INVALID',
      /is not the key of TLSCert/,
    ],
  ])('%s stops the start with the name of the key', (_, keys, code, words) => {
    const { dockerTls } = settingsOf(keys());

    expect(() => readEngineTls(dockerTls)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(words) as string }),
    );
  });
});
