/** `interlock uninstall`. */
import { createDockerodeEngine } from '../../core/engine/dockerode-engine.ts';
import { type Owner, uninstall } from '../../core/uninstall.ts';
import { type CliTools, defineCommand, expectNoOperands, UsageError } from '../command.ts';
import { engineUrl, HOST_OPTION } from '../engine-address.ts';
import { jsonText } from '../show/text.ts';

const HELP = `interlock uninstall: remove what core made in Swarm: its services, Proxy Configs and token secrets.

Usage
  interlock uninstall --stack NAME [--dry-run] [--yes] [--json] [-H URL]
  interlock uninstall --extension NAME [--extension NAME] [--core NAME] [--dry-run] [--yes] [--json] [-H URL]

Options
  --stack NAME      what the core of this stack made (docker stack rm NAME takes it along too, with core itself)
  --extension NAME  what a core outside of any stack made for [Extensions.NAME]
  --core NAME       with --extension: only what this core made, by the name of its service
  --dry-run         say what would go; remove nothing
  --yes             do not ask
  --json            for scripts: one object with "outcome", "objects" and, where core still runs, "cores"
  -H, --host URL    the engine of a manager (default: $DOCKER_HOST, else unix:///var/run/docker.sock)

Core has to be gone first, or it makes everything again; the command stops while it runs and says how to remove it.
Networks, certificates and configs of yours stay.

Exit codes
  0   removed, or there was nothing            1   something is still there            64   wrong usage

Example
  docker service rm interlock_core
  docker run --rm -it -v /var/run/docker.sock:/var/run/docker.sock -u 0:0 interlock/core:0.1.0 uninstall --stack interlock
`;

export const uninstallCommand = defineCommand({
  name: 'uninstall',
  help: HELP,
  options: {
    stack: { type: 'string' },
    extension: { type: 'string', multiple: true },
    core: { type: 'string' },
    yes: { type: 'boolean' },
    'dry-run': { type: 'boolean' },
    json: { type: 'boolean' },
    ...HOST_OPTION,
  },
  async run({ values, operands }, tools) {
    expectNoOperands(operands);
    const { yes = false, 'dry-run': dryRun = false, json = false, host } = values;
    const owner = ownerOf(values);
    const { ask } = tools;
    if (!yes && !dryRun && ask === undefined) {
      throw new UsageError('nobody to ask, standard input is no terminal: add --yes or --dry-run');
    }
    const engine = createDockerodeEngine({ dockerUrl: engineUrl(host, tools.env) });
    const confirm = (list: string) => (yes ? Promise.resolve(true) : isYes(ask, list));
    const { exitCode, text, facts } = await uninstall(engine, { owner, dryRun, confirm }, tools.signal);
    tools.stdout.write(json ? jsonText(facts) : text);
    return exitCode;
  },
});

/** @throws UsageError unless exactly one of the two is given. */
function ownerOf({
  stack,
  extension: extensions = [],
  core,
}: {
  readonly stack?: string | undefined;
  readonly extension?: readonly string[] | undefined;
  readonly core?: string | undefined;
}): Owner {
  if (stack === '' || core === '' || extensions.includes('')) {
    throw new UsageError('a name is missing');
  }
  if ((stack === undefined) === (extensions.length === 0)) {
    throw new UsageError('say whose things are to go, with --stack NAME or with --extension NAME');
  }
  if (stack !== undefined && core !== undefined) {
    throw new UsageError('--core goes with --extension: what a stack has is of one core');
  }
  return stack === undefined ? { kind: 'extensions', extensions, core } : { kind: 'stack', stack };
}

async function isYes(ask: CliTools['ask'], list: string): Promise<boolean> {
  return /^y(?:es)?$/i.test(((await ask?.(`${list}Remove it? [y/N] `)) ?? '').trim());
}
