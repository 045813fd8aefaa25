import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lookThroughLogs } from '../../support/container-logs.ts';

const TOKEN = 'kJ3vQ0tWm8xZr5yBc1Ld';
let state: string;

beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'interlock-logs-'));
});

afterEach(() => rm(state, { recursive: true }));

async function container(id: string, log: string, secrets: readonly string[] | null = null): Promise<void> {
  const folder = join(state, 'data/containers', id);
  await mkdir(folder, { recursive: true });
  const references = secrets?.map((SecretID) => ({ SecretID })) ?? null;
  await writeFile(join(folder, 'config.v2.json'), JSON.stringify({ Name: `/${id}`, SecretReferences: references }));
  await writeFile(join(folder, `${id}-json.log`), log);
}

/** `held`: what is mounted, by the end of its path. */
const look = (held: Readonly<Record<string, string>>, secrets = new Set<string>()) =>
  lookThroughLogs([{ index: 1, log: join(state, 'dockerd.log') }], {
    secrets,
    async exec(_index, [, path = '']) {
      const text = held[path.split('/').slice(-1)[0] ?? ''];
      if (text === undefined) {
        throw new Error('no such file');
      }
      return text;
    },
  });

describe('logs of containers', () => {
  it('are counted, and a secret in none of them is no error', async () => {
    await container('proxy', 'one\ntwo\n', ['s1']);
    await container('app', 'three\n');
    expect(await look({ s1: `${TOKEN}\n` })).toEqual({ containers: 2, lines: 3, secrets: 1 });
  });

  it.each([
    ['as it is', TOKEN],
    ['as base64', Buffer.from(TOKEN).toString('base64')],
    ['as hex', Buffer.from(TOKEN).toString('hex')],
    ['as a list of bytes', Buffer.from(TOKEN).join(',')],
  ])('that hold a secret of another container, %s, are an error that does not repeat it', async (_how, printed) => {
    await container('proxy', '', ['s1']);
    await container('app', `{"log":"the token is ${printed}\\n"}\n`);
    const error = await look({ s1: TOKEN }).catch(String);
    expect(error).toContain('n1 /app: ');
    expect(error).not.toContain(printed);
  });

  it('are looked through for secrets of containers that were there before, rotated files too', async () => {
    const secrets = new Set<string>();
    await container('old', '', ['s1']);
    await look({ s1: TOKEN }, secrets);
    await rm(join(state, 'data/containers/old'), { recursive: true });
    await container('new', '');
    await writeFile(join(state, 'data/containers/new/new-json.log.1'), TOKEN);
    await expect(look({}, secrets)).rejects.toThrow('n1 /new');
  });

  it('of a node that is gone are none', async () => {
    expect(await look({})).toEqual({ containers: 0, lines: 0, secrets: 0 });
  });
});
