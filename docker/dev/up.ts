/** `npm run up`: an engine, the images, the stack, the demo, its first answer. Each step does nothing to what is right already. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkBaseSettings } from './bases.ts';
import { fillConfig } from './config.ts';
import type { Docker } from './docker.ts';
import {
  type Choice,
  chooseEngine,
  DEFAULT_HOST,
  type Engine,
  type EngineTools,
  openEngine,
  recordOf,
  requireRoot,
} from './engine.ts';
import { startForwarder } from './forwarder.ts';
import {
  buildImages,
  findArchive,
  type ImageNames,
  imageArchive,
  imageNames,
  loadArchive,
  missingImages,
  type Target,
} from './images.ts';
import { checkPort, checkPublished, isLocal } from './ports.ts';
import { StepFailure } from './report.ts';
import { deployStack, removeOldConfigs, stackExists } from './stacks.ts';
import { type Ledger, openLedger, type UpRecord } from './state.ts';
import { DEMO_HOST, waitForDemo } from './wait.ts';

export interface UpOptions {
  readonly forcePrivate: boolean;
  readonly initSwarm: boolean;
  readonly port: number | undefined;
  readonly tlsPort: number | undefined;
  /** Where to ask for the demo, when neither 127.0.0.1 nor the node's address leads there. */
  readonly url: string | undefined;
}

const STACK = 'interlock';
const DEMO_STACK = 'demo';
const PORTS = { http: 8080, tls: 8443 } as const;

export async function up(tools: EngineTools, options: UpOptions): Promise<void> {
  const { report, signal } = tools;
  checkBaseSettings(tools.env);
  const ledger = await openLedger(tools.places);
  const record = await report.step('choosing an engine', 'See the words above.', () => prepare(tools, ledger, options));
  const engine = await report.step('engine', 'See the words above; npm run down cleans up what was begun.', () =>
    openEngine(tools, record.engine),
  );
  const names = await report.step('images', 'See the words above.', () => provideImages(tools, ledger, record, engine));
  await report.step('stacks', "Read docker's words above.", () => deploy(tools, ledger, record, engine, names));
  if (engine.node !== undefined) {
    const { node } = engine;
    const name = record.engine.kind === 'private' ? record.engine.name : '';
    await report.step(`forwarding 127.0.0.1:${record.port} into the private engine`, 'See the words above.', () =>
      startForwarder({ ...tools }, { name, node, from: record.port, to: record.port }),
    );
  }
  const url = await report.step('waiting for the demo', 'Read the words above.', () =>
    waitForDemo(
      {
        docker: engine.docker,
        stacks: [STACK, DEMO_STACK],
        core: `${STACK}_core`,
        urls: candidateUrls(record, engine),
        images: {
          [`${STACK}_core`]: names.core,
          'interlock-extension': names.extension,
          'interlock-proxy': names.proxy,
          [`${DEMO_STACK}_app`]: names.demo,
        },
      },
      report,
      signal,
    ),
  );
  report.say(`the demo answers through the proxy at ${url}`);
  process.stdout.write(nextSteps(url, record, engine.docker));
}

// --- before anything is made -------------------------------------------------------------------------------------------------

/** What is to be made, written down. On a second `up` what the first one wrote down counts. */
async function prepare(tools: EngineTools, ledger: Ledger, options: UpOptions): Promise<UpRecord> {
  const before = ledger.read();
  if (before !== undefined) return await again(tools, ledger, before, options);
  const choice = await chooseEngine(tools, {
    host: tools.env['DOCKER_HOST'] ?? DEFAULT_HOST,
    forcePrivate: options.forcePrivate,
    initSwarm: options.initSwarm,
  });
  const ports = { port: options.port ?? PORTS.http, tlsPort: options.tlsPort ?? PORTS.tls };
  await checkFree(choice, ports, tools.signal);
  const record: UpRecord = {
    version: 1,
    engine: await recordOf(choice),
    ...ports,
    ...(options.url === undefined ? {} : { url: options.url }),
    stacks: [],
    images: [],
    builtWithBuildKit: false,
  };
  await ledger.write(record);
  return record;
}

async function again(tools: EngineTools, ledger: Ledger, before: UpRecord, options: UpOptions): Promise<UpRecord> {
  const { engine } = before;
  const where = engine.kind === 'private' ? 'a private engine' : engine.host;
  const elsewhere =
    engine.kind === 'private'
      ? false
      : options.forcePrivate || (tools.env['DOCKER_HOST'] !== undefined && tools.env['DOCKER_HOST'] !== engine.host);
  if (elsewhere) {
    throw new StepFailure(`Interlock is up already, on ${where}`, 'Take it down first: npm run down');
  }
  tools.report.say(`engine: ${where}, as the last time`);
  const port = options.port ?? before.port;
  const tlsPort = options.tlsPort ?? before.tlsPort;
  if (engine.kind === 'private' && port !== before.port) await checkPort('127.0.0.1', port, '--port');
  await ledger.change({ port, tlsPort, ...(options.url === undefined ? {} : { url: options.url }) });
  return ledger.read() ?? before;
}

async function checkFree(
  choice: Choice,
  { port, tlsPort }: Pick<UpRecord, 'port' | 'tlsPort'>,
  signal: AbortSignal,
): Promise<void> {
  if (choice.kind === 'private') {
    await requireRoot(signal);
    await checkPort('127.0.0.1', port, '--port');
    return;
  }
  if (port === tlsPort) throw new StepFailure(`--port and --tls-port are both ${port}`, 'Choose two.');
  if (choice.kind === 'existing') {
    await checkPublished(choice.docker, [port, tlsPort]);
    for (const stack of [STACK, DEMO_STACK]) await checkStack(choice.docker, stack);
  }
  if (isThisMachine(choice.docker.host, choice.info.Swarm?.NodeAddr)) {
    await checkPort('0.0.0.0', port, '--port');
    await checkPort('0.0.0.0', tlsPort, '--tls-port');
  }
}

async function checkStack(docker: Docker, stack: string): Promise<void> {
  if (!(await stackExists(docker, stack))) return;
  throw new StepFailure(
    `there is a stack '${stack}' on ${docker.host} that npm run up did not make`,
    `Remove it if it may go (docker stack rm ${stack}), or use a private engine: npm run up -- --private`,
  );
}

/** Whether the ports of that engine are the ports of this machine. An inactive Swarm has no address yet. */
function isThisMachine(host: string, nodeAddress: string | undefined): boolean {
  if (!host.startsWith('unix:')) return false;
  return nodeAddress === undefined || nodeAddress === '' ? host === DEFAULT_HOST : isLocal(nodeAddress);
}

// --- images ------------------------------------------------------------------------------------------------------------------

async function provideImages(
  tools: EngineTools,
  ledger: Ledger,
  record: UpRecord,
  engine: Engine,
): Promise<ImageNames> {
  const names = await imageNames(tools);
  const missing = await missingImages(engine.docker, names);
  if (missing.length === 0) {
    tools.report.detail('they are there, built from these very files');
    return names;
  }
  if (record.engine.kind === 'private') {
    tools.report.detail('built in an engine of its own, because the private one reaches no network');
    await loadArchive(engine.docker, await imageArchive(tools));
    return names;
  }
  const ours = [...missing.flatMap((target) => [names[target], `interlock/${target}:dev`])];
  await ledger.change({ images: [...new Set([...record.images, ...ours])] });
  await makeImages(tools, ledger, engine.docker, names, missing);
  return names;
}

async function makeImages(
  tools: EngineTools,
  ledger: Ledger,
  docker: Docker,
  names: ImageNames,
  missing: readonly Target[],
): Promise<void> {
  const archive = await findArchive(tools.places, names);
  if (archive !== undefined) {
    tools.report.detail(`loading ${archive}`);
    await loadArchive(docker, archive);
    return;
  }
  const { bases, buildKit } = await buildImages(tools, docker, names, missing);
  const images = ledger.read()?.images ?? [];
  await ledger.change({ images: [...new Set([...images, ...bases])], builtWithBuildKit: buildKit });
}

// --- stacks ------------------------------------------------------------------------------------------------------------------

async function deploy(
  tools: EngineTools,
  ledger: Ledger,
  record: UpRecord,
  engine: Engine,
  names: ImageNames,
): Promise<void> {
  const { root } = tools.places;
  await ledger.change({ stacks: [STACK, DEMO_STACK] });
  // On a Swarm of several nodes only the one that built them has the images.
  const severalNodes = (engine.info.Swarm?.Nodes ?? 1) > 1;
  const constraint = severalNodes ? `node.id==${engine.info.Swarm?.NodeID ?? ''}` : undefined;
  const pinned = constraint === undefined ? {} : { INTERLOCK_NODE_CONSTRAINT: constraint };
  const template = await readFile(join(root, 'docker/dev/config.toml'), 'utf8');
  const config = fillConfig(template, { images: names, port: record.port, tlsPort: record.tlsPort, constraint });
  const digest = createHash('sha256').update(config).digest('hex').slice(0, 12);
  const configFile = join(tools.places.up, 'config.toml');
  await mkdir(tools.places.up, { recursive: true });
  await writeFile(configFile, config);
  const core = await deployStack(engine.docker, {
    stack: STACK,
    file: 'compose.dev.yml',
    root,
    service: 'core',
    variables: {
      ...pinned,
      INTERLOCK_CORE_IMAGE: names.core,
      INTERLOCK_CONFIG_FILE: configFile,
      INTERLOCK_CONFIG_DIGEST: digest,
    },
  });
  await removeOldConfigs(engine.docker, STACK, `interlock.${digest}`);
  const demo = await deployStack(engine.docker, {
    stack: DEMO_STACK,
    file: 'docker/demo/demo.yml',
    root,
    service: 'app',
    variables: { ...pinned, INTERLOCK_DEMO_IMAGE: names.demo },
  });
  tools.report.detail(
    `${STACK} ${core ? 'deployed (core; it makes the extension and the proxy)' : 'is as it should be'}; ${DEMO_STACK} ${demo ? 'deployed' : 'is as it should be'}`,
  );
}

// --- the end -----------------------------------------------------------------------------------------------------------------

function candidateUrls(record: UpRecord, engine: Engine): readonly string[] {
  if (record.url !== undefined) return [record.url];
  const url = (host: string) => `http://${host.includes(':') ? `[${host}]` : host}:${record.port}/`;
  const nodeAddress = engine.info.Swarm?.NodeAddr ?? '';
  const loopback = url('127.0.0.1');
  if (engine.node !== undefined) return [loopback];
  if (isThisMachine(engine.docker.host, nodeAddress)) return [loopback];
  const remote = /^(?:tcp|ssh):\/\/(?:[^@/]*@)?(\[[^\]]+\]|[^:/]+)/.exec(engine.docker.host)?.[1];
  return [...(remote === undefined ? [] : [url(remote)]), ...(nodeAddress === '' ? [] : [url(nodeAddress)]), loopback];
}

function nextSteps(url: string, record: UpRecord, docker: Docker): string {
  const byDefault = docker.host === DEFAULT_HOST && process.env['DOCKER_HOST'] === undefined;
  const setHost =
    byDefault || process.env['DOCKER_HOST'] === docker.host
      ? ''
      : `  export DOCKER_HOST=${docker.host}   # the ${record.engine.kind} engine\n\n`;
  const line = (command: string, words: string) => `${`  ${command}`.padEnd(49)} ${words}`;
  return `
Try next:

  curl -H 'Host: ${DEMO_HOST}' ${url}
${line('', 'again and again: two replicas take turns')}

${setHost}  docker service ls
${line(`docker service logs -f ${STACK}_core`, 'what core sees and does, and what is wrong with a label')}
${line('docker service logs -f interlock-proxy', "NGINX's access log")}

${line(`docker service scale ${DEMO_STACK}_app=5`, 'the proxy reloads. Only a new network or certificate')}
${line('', 'replaces it: for some seconds nobody answers')}

  docker service create --name hello --network demo --no-resolve-image --endpoint-mode dnsrr \\
    --env DEMO_NAME=hello --label com.docker.lb.hosts=hello.local --label com.docker.lb.port=8080 \\
    --label com.docker.lb.network=demo interlock/demo:dev
  curl -sSf --retry 30 --retry-delay 1 --retry-all-errors -H 'Host: hello.local' ${url}
  docker service rm hello

${line('npm run up', 'again, after an edit of docker/dev/config.toml')}
${line('npm run down', 'removes all that npm run up made')}
`;
}
