/** `OperatorTokenFile`: operators over the network, by the token they gave core. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { type Daemons, prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';
import { runCommand } from '../../support/run-command.ts';

const TOKEN = 'a-token-of-the-operators-0123456789';

let fake: FakeEngine;
let folder: string;
let core: Daemons | undefined;

beforeEach(async () => {
  fake = await createFakeEngine();
  folder = await mkdtemp(join(tmpdir(), 'interlock-operator-'));
});

afterEach(async () => {
  await core?.stopAll().catch(() => undefined);
  core = undefined;
  await fake.close();
  await rm(folder, { recursive: true, force: true });
});

async function fileWith(text: string, name = 'token'): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

async function prepare(grpc: string): Promise<Daemons> {
  core = await prepareDaemons(fake, `[GRPC]\n${grpc}\n[Extensions.default]\nHitlessServiceUpdate = false\n`);
  return core;
}

const ask = ({ endpoint }: Daemons, tokenFile: string) =>
  runCommand(['status', '--endpoint', endpoint, '--token-file', tokenFile]);

describe('a core with OperatorTokenFile', () => {
  it('answers an operator who shows that token, and nobody else', async () => {
    const path = await fileWith(`${TOKEN}\n`);
    const party = await prepare(`OperatorTokenFile = "${path}"`);
    party.startCore();

    await eventually(async () => expect((await ask(party, path)).stdout).toContain('[Extensions.default]'));
    const refused = await ask(party, await fileWith('b-token-of-the-operators-0123456789', 'other'));
    expect(refused).toMatchObject({ exitCode: 1, stdout: '' });
    expect(refused.stderr).toContain("this is not the operators' token");
  });

  it.each([
    ['is missing', undefined],
    ['holds no token', 'too short'],
  ])('does not start when the file %s, and says which', async (_, text) => {
    const path = text === undefined ? join(folder, 'nowhere') : await fileWith(text);
    const party = await prepare(`OperatorTokenFile = "${path}"`);
    const daemon = party.startCore();

    await eventually(() => expect(party.log.length).toBeGreaterThan(0));
    await eventually(async () => expect(daemon.stop()).rejects.toThrow(`${path} (OperatorTokenFile in [GRPC])`));
  });
});

it('a core without it refuses operators over the network, and says how to let them in', async () => {
  const path = await fileWith(TOKEN);
  const party = await prepare('');
  party.startCore();

  const refused = await eventually(async () => {
    const outcome = await ask(party, path);
    expect(outcome.exitCode).not.toBe(69); // core does not listen yet
    return outcome;
  });
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toContain('OperatorTokenFile');
});
