/** `interlock snapshot`. */
import { readRawLists } from '../../core/engine/raw-lists.ts';
import { defineCommand, expectNoOperands, UsageError } from '../command.ts';
import { engineUrl, HOST_OPTION } from '../engine-address.ts';
import { runSnapshot } from '../snapshot.ts';

const HELP = `interlock snapshot: save what core sees of a live Swarm, for "interlock render" and for bug reports.

Usage
  interlock snapshot --out DIR [-H URL]

Options
  --out DIR       where to write; new, empty, or left by an earlier snapshot, which is replaced
  -H, --host URL  the engine of a manager (default: $DOCKER_HOST, else unix:///var/run/docker.sock)

Writes services.json, tasks.json, networks.json, nodes.json and secrets.json: names, ids, labels, addresses, states and ports.
No secret's data, no environment, no arguments and no mounts of any service.
`;

export const snapshotCommand = defineCommand({
  name: 'snapshot',
  help: HELP,
  options: { out: { type: 'string' }, ...HOST_OPTION },
  async run({ values, operands }, { stdout, env, signal }) {
    expectNoOperands(operands);
    const { out, host } = values;
    if (out === undefined || out === '') {
      throw new UsageError('say where to write with --out DIR');
    }
    const { exitCode, text } = await runSnapshot(out, (scope) => readRawLists(engineUrl(host, env), scope), signal);
    stdout.write(text);
    return exitCode;
  },
});
