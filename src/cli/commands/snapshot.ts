/** `interlock snapshot`. */
import { readRawLists } from '../../core/engine/raw-lists.ts';
import { defineCommand, expectNoOperands, UsageError } from '../command.ts';
import { engineUrl, HOST_OPTION } from '../engine-address.ts';
import { jsonText } from '../show/text.ts';
import { runSnapshot } from '../snapshot.ts';

const HELP = `interlock snapshot: save what core sees of a live Swarm, for "interlock render" and for bug reports.

Usage
  interlock snapshot --out DIR [--json] [-H URL]

Options
  --out DIR       where to write; new, empty, or left by an earlier snapshot, which is replaced
  --json          for scripts: one object with "written", each file with its number of objects
  -H, --host URL  the engine of a manager (default: $DOCKER_HOST, else unix:///var/run/docker.sock)

Writes services.json, tasks.json, networks.json, nodes.json and secrets.json: names, ids, labels, addresses, states and ports.
No secret's data, no environment, no arguments and no mounts of any service.
`;

export const snapshotCommand = defineCommand({
  name: 'snapshot',
  help: HELP,
  options: { out: { type: 'string' }, json: { type: 'boolean' }, ...HOST_OPTION },
  async run({ values, operands }, { stdout, env, signal }) {
    expectNoOperands(operands);
    const { out, json = false, host } = values;
    if (out === undefined || out === '') {
      throw new UsageError('say where to write with --out DIR');
    }
    const read = (scope: AbortSignal) => readRawLists(engineUrl(host, env), scope);
    const { exitCode, text, facts } = await runSnapshot(out, read, signal);
    stdout.write(json ? jsonText(facts) : text);
    return exitCode;
  },
});
