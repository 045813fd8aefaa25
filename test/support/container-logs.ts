/**
 * What containers of a bed's Swarm have printed, and the secrets that are mounted in them. Both are read from the engines' own folders, not
 * asked for: `docker service logs` waits for nodes that a test has taken away, and knows nothing of containers that are not a service's.
 * In: the nodes. Out: how much there was, or an error that says
 * where a secret was printed.
 */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { printedSecrets, secretBytesOf } from './secret-bytes.ts';

interface NodeFiles {
  readonly index: number;
  /** `<the node's state folder>/dockerd.log`; its engine's data are beside it. */
  readonly log: string;
}

interface Container {
  readonly index: number;
  readonly id: string;
  /** `/<service>.<slot>.<task id>`, or what `docker run` called it. */
  readonly name: string;
  readonly logs: readonly string[];
  /** Ids of the Docker Secrets mounted in it. */
  readonly secrets: readonly string[];
}

export interface LookOptions {
  /** Runs a command with the node's files; rejects when the node has none (off), or the command exits non-zero. */
  readonly exec: (index: number, argv: readonly string[]) => Promise<string>;
  /** Bytes found by earlier looks: containers that held them may be gone. This look's are added. */
  readonly secrets: Set<string>;
}

export interface Look {
  readonly containers: number;
  readonly lines: number;
  /** How many were looked for. */
  readonly secrets: number;
}

/**
 * Looks through the log of every container that is there, running or not, on every node, whatever its state.
 * Throws when one holds bytes of a secret: names the container and the first four characters.
 */
export async function lookThroughLogs(nodes: readonly NodeFiles[], { exec, secrets }: LookOptions): Promise<Look> {
  const all = (await Promise.all(nodes.map(containersOf))).flat();
  for (const { index, id, secrets: ids } of all) {
    for (const secret of ids) {
      // A container that has ended holds none any more.
      const file = `/var/lib/docker/containers/${id}/mounts/secrets/${secret}`;
      const bytes = await exec(index, ['cat', file]).catch(() => '');
      for (const part of secretBytesOf(bytes)) secrets.add(part);
    }
  }
  const texts = await Promise.all(all.map(logText));
  const printed = all.flatMap(({ index, name }, n) =>
    printedSecrets(texts[n] ?? '', [...secrets]).map((part) => `n${index} ${name}: ${part}`),
  );
  if (printed.length > 0) {
    throw new Error(`logs hold secrets: ${printed.join(', ')}`);
  }
  return { containers: all.length, lines: texts.join('').split('\n').length - 1, secrets: secrets.size };
}

async function containersOf({ index, log }: NodeFiles): Promise<readonly Container[]> {
  const folder = join(dirname(log), 'data/containers');
  const ids = await unlessGone(readdir(folder), []);
  const containers = await Promise.all(
    ids.map(async (id): Promise<readonly Container[]> => {
      const files = await unlessGone(readdir(join(folder, id)), []);
      const described = await unlessGone(readFile(join(folder, id, 'config.v2.json'), 'utf8'), undefined);
      if (described === undefined) return [];
      // Shape: the engine's own file; SecretReferences is null without secrets.
      const parsed = JSON.parse(described) as { Name: string; SecretReferences?: { SecretID: string }[] | null };
      return [
        {
          index,
          id,
          name: parsed.Name,
          logs: files.filter((file) => /-json\.log(\.\d+)?$/.test(file)).map((file) => join(folder, id, file)),
          secrets: (parsed.SecretReferences ?? []).map(({ SecretID }) => SecretID),
        },
      ];
    }),
  );
  return containers.flat();
}

async function logText({ logs }: Container): Promise<string> {
  return (await Promise.all(logs.map((file) => unlessGone(readFile(file, 'utf8'), '')))).join('');
}

/** Engines remove containers of old tasks at any time. */
async function unlessGone<T, U>(read: Promise<T>, otherwise: U): Promise<T | U> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return otherwise;
    throw error;
  }
}
