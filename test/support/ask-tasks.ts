/** Asks the tasks of a service on the control network, where nobody outside of it can. */
import type { Interlock } from './interlock.ts';

/** Prints what each task of a service answers: a status and a body, or the code of the error. */
const ASK_ALL = `
const { resolve4 } = require('node:dns/promises');
const [service, path] = process.argv.slice(1);
const ask = async (host) => {
  try {
    const answer = await fetch('http://' + host + ':9090' + path, { signal: AbortSignal.timeout(5000) });
    return { status: answer.status, body: await answer.text() };
  } catch (error) {
    return { status: error.cause?.code ?? error.name, body: '' };
  }
};
resolve4('tasks.' + service).then((hosts) => Promise.all(hosts.map(ask))).then((all) => console.log(JSON.stringify(all)));
`;

export interface TaskAnswer {
  /** Or the code of what went wrong, e.g. `ECONNREFUSED`. */
  readonly status: number | string;
  readonly body: string;
}

/** From the container of a task of `from`, which has Node; the port is that of metrics and probes. */
export async function askAllTasks(
  interlock: Pick<Interlock, 'exec'>,
  from: string,
  service: string,
  path: string,
): Promise<readonly TaskAnswer[]> {
  const text = await interlock.exec(from, ['node', '-e', ASK_ALL, service, path]);
  return JSON.parse(text) as TaskAnswer[];
}
