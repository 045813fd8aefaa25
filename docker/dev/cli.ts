/** `docker/dev/run up|down|images`: text in, exit code out. The only file here that sees argv, the environment and process signals. */
import { parseArgs } from 'node:util';
import { createBed } from './bed.ts';
import { askEngine, createDocker } from './docker.ts';
import { down } from './down.ts';
import { DEFAULT_HOST, type EngineTools } from './engine.ts';
import { buildImages, imageArchive, imageNames, missingImages } from './images.ts';
import { createReport, StepFailure } from './report.ts';
import { findPlaces } from './state.ts';
import { up } from './up.ts';

const HELP = `npm run up [-- options]      Interlock and a demo application, on a Swarm of yours or in a private engine
  --private                  a private engine, whatever else is there
  --init-swarm               let the engine that answers become a Swarm of one node (npm run down undoes it)
  --port N                   for http, default 8080      --tls-port N   for https, default 8443
  --url URL                  where to wait for the demo, if neither 127.0.0.1 nor the node's address leads to it
npm run down                 removes what npm run up made, and nothing else
npm run images [-- --archive]  builds the images in the engine that answers, else (or with --archive) makes an archive of them

DOCKER_HOST                  the engine; default ${DEFAULT_HOST}
NODE_BASE, NGINX_BASE        images to build on      INTERLOCK_BASES=debian   local ones, made of Debian packages
INTERLOCK_STATE              everything that is kept; default .interlock
`;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort(new DOMException(`ended by ${name}`, 'AbortError')));
  }
  const report = createReport(
    (line) => process.stderr.write(`${line}\n`),
    () => performance.now(),
  );
  const places = findPlaces(process.env);
  const bed = createBed(places, report, process.env, stop.signal);
  try {
    return await command({ places, bed, report, env: process.env, signal: stop.signal }, argv);
  } catch (error) {
    return fail(error, stop.signal);
  }
}

async function command(tools: EngineTools, argv: readonly string[]): Promise<number> {
  const [name = 'help', ...rest] = argv;
  switch (name) {
    case 'up':
      await up(tools, upOptions(rest));
      return 0;
    case 'down':
      parse(rest, {});
      await down(tools);
      return 0;
    case 'images':
      await images(tools, parse(rest, { archive: { type: 'boolean' } }).archive === true);
      return 0;
    default:
      process.stdout.write(HELP);
      return name === 'help' || name === '--help' ? 0 : 64;
  }
}

function parse<T extends NonNullable<Parameters<typeof parseArgs>[0]>['options']>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    throw new StepFailure(
      error instanceof Error ? error.message : String(error),
      'npm run up -- --help lists the options.',
    );
  }
}

function upOptions(args: readonly string[]) {
  if (args.includes('--help')) {
    process.stdout.write(HELP);
    process.exit(0);
  }
  const values = parse(args, {
    private: { type: 'boolean' },
    'init-swarm': { type: 'boolean' },
    port: { type: 'string' },
    'tls-port': { type: 'string' },
    url: { type: 'string' },
  });
  return {
    forcePrivate: values.private === true,
    initSwarm: values['init-swarm'] === true,
    port: portNumber('--port', values.port),
    tlsPort: portNumber('--tls-port', values['tls-port']),
    url: values.url,
  };
}

function portNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) {
    throw new StepFailure(`${option} '${text}' is no port`, 'Give a number from 1 to 65535.');
  }
  return port;
}

async function images(tools: EngineTools, archiveOnly: boolean): Promise<void> {
  const { report, signal } = tools;
  const docker = createDocker(tools.env['DOCKER_HOST'] ?? DEFAULT_HOST, tools.env, signal);
  const asked = archiveOnly ? undefined : await askEngine(docker, signal);
  if (asked?.kind !== 'answers') {
    const file = await report.step('images, as an archive', 'See the words above.', () => imageArchive(tools));
    report.say('done; docker load --input takes it:');
    process.stdout.write(`${file}\n`);
    return;
  }
  const names = await imageNames(tools);
  await report.step(`images in ${docker.host}`, 'See the words above.', async () => {
    await buildImages(tools, docker, names, await missingImages(docker, names));
  });
  process.stdout.write(`${Object.values(names).join('\n')}\n`);
}

function fail(error: unknown, signal: AbortSignal): number {
  if (signal.aborted) {
    process.stderr.write('\nstopped half-way; npm run up goes on from there, npm run down removes what was made\n');
    return 130;
  }
  if (error instanceof StepFailure) {
    process.stderr.write(`\nfailed: ${error.message}\nwhat to do: ${error.todo}\n`);
    return 1;
  }
  throw error;
}
