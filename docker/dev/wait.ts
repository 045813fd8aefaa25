/** Waits for the demo's first answer through the proxy. */
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastLines } from './command.ts';
import type { Docker } from './docker.ts';
import { type Report, StepFailure } from './report.ts';
import { servicesOf } from './stacks.ts';

export const DEMO_HOST = 'demo.local';
const LIMIT_MS = 120_000;
const ASK_MS = 3_000;

export interface Expectation {
  readonly docker: Docker;
  readonly stacks: readonly string[];
  /** Where the proxy may be; the first that answers counts. */
  readonly urls: readonly string[];
  /** Of services that have to run this image, by service name. */
  readonly images: Readonly<Record<string, string>>;
  /** The service that reads config.toml. It ends at once when it cannot use the file. */
  readonly core: string;
}

const FAILURES = 3;

/** The URL that answered. Throws StepFailure after two minutes, or when core fails again and again, with what the services say. */
export async function waitForDemo(expected: Expectation, report: Report, signal: AbortSignal): Promise<string> {
  const until = Date.now() + LIMIT_MS;
  const failedBefore = new Set(await failedTasks(expected));
  const seen = { line: '', answer: 'nobody has answered' };
  while (Date.now() < until) {
    const services = await listServices(expected);
    const line = services.map(({ name, replicas }) => `${name} ${replicas}`).join(', ');
    const ready = isReady(services, expected.images);
    if (line !== seen.line && !ready) report.detail(`waiting: ${line}`);
    seen.line = line;
    if (!ready && (await failedTasks(expected)).filter((id) => !failedBefore.has(id)).length >= FAILURES) {
      throw new StepFailure(
        `${expected.core} ends as soon as it has started\n${await symptoms(expected)}`,
        'Read its last words above. If they are about config.toml, correct docker/dev/config.toml and run npm run up again.',
      );
    }
    // An answer before the end of a roll is one of the old proxies, by the old config.toml.
    if (ready && !(await isRolling(expected))) {
      for (const url of expected.urls) {
        seen.answer = await ask(url, signal);
        if (seen.answer === '200') return url;
      }
    }
    await sleep(300, undefined, { signal });
  }
  const where = expected.urls.join(' or ');
  throw new StepFailure(
    `no answer for ${DEMO_HOST} from ${where} in ${LIMIT_MS / 1000} s (last: ${seen.answer})\nservices: ${seen.line}\n${await symptoms(expected)}`,
    'Read what the services say above; with npm run up it can be tried again, npm run down removes everything.',
  );
}

interface ServiceLine {
  readonly name: string;
  readonly replicas: string;
  readonly image: string;
}

async function listServices({ docker, stacks }: Expectation): Promise<readonly ServiceLine[]> {
  const lists = await Promise.all(
    stacks.map((stack) =>
      docker.lines([
        ...['service', 'ls', '--filter', `label=com.docker.stack.namespace=${stack}`],
        ...['--format', '{{.Name}}\t{{.Replicas}}\t{{.Image}}'],
      ]),
    ),
  );
  return lists.flat().map((line) => {
    const [name = '', replicas = '', image = ''] = line.split('\t');
    return { name, replicas, image };
  });
}

function isReady(services: readonly ServiceLine[], images: Readonly<Record<string, string>>): boolean {
  return Object.entries(images).every(([name, image]) => {
    const service = services.find((one) => one.name === name);
    const [running, wanted] = service?.replicas.split(' ')[0]?.split('/') ?? [];
    return service?.image === image && running === wanted && running !== '0';
  });
}

/** Whether Swarm is still replacing tasks of one of them. */
async function isRolling({ docker, images }: Expectation): Promise<boolean> {
  const format = '{{with .UpdateStatus}}{{.State}}{{end}}';
  const result = await docker.attempt(['service', 'inspect', '--format', format, ...Object.keys(images)]);
  return /^(?:updating|rollback_started)$/m.test(result.stdout);
}

/** Ids of core's tasks that ended in failure, as far as Swarm remembers them. */
async function failedTasks({ docker, core }: Expectation): Promise<readonly string[]> {
  const format = '{{.ID}}\t{{.CurrentState}}';
  const result = await docker.attempt(['service', 'ps', '--no-trunc', '--format', format, core]);
  return result.stdout.split('\n').flatMap((line) => {
    const [id = '', state = ''] = line.split('\t');
    return state.startsWith('Failed') ? [id] : [];
  });
}

/** '200' when the demo itself answered, else what happened instead. */
function ask(url: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const request = http.get(url, {
      headers: { host: DEMO_HOST },
      agent: false,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]),
    });
    request.on('error', (error) => resolve(error.message));
    request.on('response', (response) => {
      response.resume();
      const byDemo = response.headers['x-demo-host'] !== undefined;
      resolve(response.statusCode === 200 && !byDemo ? '200, but not by the demo' : String(response.statusCode));
    });
  });
}

/** What is wrong, in the engine's and core's own words. */
async function symptoms(expected: Expectation): Promise<string> {
  const { docker, stacks, core } = expected;
  const services = (await Promise.all(stacks.map((stack) => servicesOf(docker, stack)))).flat();
  if (services.length === 0) return 'no service is there';
  const format = '{{.Name}}  {{.DesiredState}}  {{.CurrentState}}  {{.Error}}';
  const tasks = await docker.attempt(['service', 'ps', '--no-trunc', '--format', format, ...services]);
  // The words of several tasks in one log are not in the order in which they were said.
  const [failed] = await failedTasks(expected);
  const log = await docker.attempt(['service', 'logs', '--raw', '--tail', '15', failed ?? core]);
  return [lastLines(tasks.stdout, 20), `the last words of ${core}:`, lastLines(`${log.stdout}${log.stderr}`, 15)].join(
    '\n',
  );
}
