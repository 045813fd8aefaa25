/** `interlock explain`. */
import { parseRequest, type WebRequest } from '../../model/answer.ts';
import type { OperatorCalls } from '../../wire/operator.ts';
import { type CliTools, defineCommand, EXIT, UsageError } from '../command.ts';
import { CORE_HELP, CORE_OPTIONS, withCore } from '../core-link.ts';
import { explainService } from '../explain/service.ts';
import { explainUrl, servicesBehind } from '../explain/url.ts';
import { serviceLines, urlLines } from '../show/explain.ts';
import { jsonText, painterFor, plain } from '../show/text.ts';

const HELP = `interlock explain: why does this address answer as it does? Why does nothing happen with my service?

Usage
  interlock explain URL [--cluster NAME] [--json]
  interlock explain --service NAME [--json]

Options
  --service NAME   a service: its labels, also those that are mistyped or in the wrong place, what core makes of them, its
                   tasks, its routes, the proxies
  --cluster NAME   ask the proxies of this ServiceCluster ("" is the default one)
  --json           for scripts: one object; with --service an array, because a short name may be that of several

${CORE_HELP}
Sends no request: it follows what core knows, as the proxies' file does, and tells each step up to the first that fails.

Exit codes
  0   a service answers, or a redirect        64   wrong usage
  1   nobody does                             69   core cannot be reached

Example
  core=$(docker ps -qf name=interlock_core)
  docker exec $core interlock explain https://shop.example.com/cart
  docker exec $core interlock explain --service shop_web
`;

export const explainCommand = defineCommand({
  name: 'explain',
  help: HELP,
  options: {
    service: { type: 'string' },
    cluster: { type: 'string' },
    json: { type: 'boolean' },
    ...CORE_OPTIONS,
  },
  run({ values, operands }, tools) {
    const { service, cluster, json = false } = values;
    const [url, ...more] = operands;
    if (more.length > 0 || (service === undefined) === (url === undefined)) {
      throw new UsageError('give one URL, or one service with --service NAME');
    }
    if (service !== undefined) {
      if (service === '' || cluster !== undefined) {
        throw new UsageError(service === '' ? 'a name is missing' : '--cluster goes with a URL');
      }
      return withCore(values, tools, (core) => tellOfService(core, service, json, tools));
    }
    const address = url ?? '';
    const request = parseRequest(address);
    if (request === undefined) {
      throw new UsageError(`not an http:// or https:// URL with a host: ${plain(address)}`);
    }
    return withCore(values, tools, (core) => tellOfUrl(core, { url: address, request, cluster }, json, tools));
  },
});

async function tellOfUrl(
  core: OperatorCalls,
  asked: { readonly url: string; readonly request: WebRequest; readonly cluster: string | undefined },
  json: boolean,
  tools: CliTools,
): Promise<number> {
  const { signal } = tools;
  const [status, routes] = await Promise.all([
    core.status({}, signal),
    core.routes({ serviceCluster: undefined }, signal),
  ]);
  const names = servicesBehind({ ...asked, routes });
  const services = await core.services({ names, mentions: asked.request.host }, signal);
  const explanation = explainUrl({ ...asked, status, routes, services });
  tell(json ? explanation : urlLines(explanation, painterFor(tools.stdout, tools.env)), tools);
  return explanation.verdict === 'not-served' ? EXIT.no : EXIT.ok;
}

async function tellOfService(core: OperatorCalls, name: string, json: boolean, tools: CliTools): Promise<number> {
  const { signal, stderr, stdout, env } = tools;
  const { services, similar } = await core.services({ names: [name], mentions: '' }, signal);
  if (services.length === 0) {
    const near = similar.length === 0 ? '' : ` Did you mean ${similar.map(plain).join(', ')}?`;
    stderr.write(`there is no service ${plain(name)} in this Swarm.${near}\n`);
    return EXIT.no;
  }
  const [status, routes] = await Promise.all([
    core.status({}, signal),
    core.routes({ serviceCluster: undefined }, signal),
  ]);
  const explanations = services.map((service) => explainService({ service, status, routes }));
  const paint = painterFor(stdout, env);
  const lines = () => explanations.flatMap((one, at) => [...(at === 0 ? [] : ['']), ...serviceLines(one, paint)]);
  tell(json ? explanations : lines(), tools, json);
  return explanations.some(({ verdict }) => verdict !== 'not-served') ? EXIT.ok : EXIT.no;
}

/** Lines, or a value as JSON. */
function tell(what: unknown, { stdout }: CliTools, json = !Array.isArray(what)): void {
  stdout.write(json ? jsonText(what) : `${(what as readonly string[]).join('\n')}\n`);
}
