/** `interlock routes`. */
import { defineCommand, EXIT, expectNoOperands } from '../command.ts';
import { CORE_HELP, CORE_OPTIONS, withCore } from '../core-link.ts';
import { routeRows, routesLines } from '../show/routes.ts';
import { jsonText, painterFor } from '../show/text.ts';

const HELP = `interlock routes: what is routed where: host, path, service, endpoints with node, TLS, options.

Usage
  interlock routes [--cluster NAME] [--json]

Options
  --cluster NAME   only this ServiceCluster ("" is the default one)
  --json           for scripts: an array with one object per host and path

${CORE_HELP}
"none: 503" stands where no task of a service runs: interlock explain http://HOST/PATH says why. The host "*" is the default
backend, which answers every host that nobody claimed.

Exit codes
  0   there are routes         64   wrong usage
  1   there are none           69   core cannot be reached

Example
  docker exec $(docker ps -qf name=interlock_core) interlock routes --cluster prod
`;

export const routesCommand = defineCommand({
  name: 'routes',
  help: HELP,
  options: { cluster: { type: 'string' }, json: { type: 'boolean' }, ...CORE_OPTIONS },
  run({ values, operands }, tools) {
    expectNoOperands(operands);
    const { cluster, json = false } = values;
    return withCore(values, tools, async (core) => {
      const rows = routeRows(await core.routes({ serviceCluster: cluster }, tools.signal));
      const lines = () => `${routesLines(rows, painterFor(tools.stdout, tools.env)).join('\n')}\n`;
      tools.stdout.write(json ? jsonText(rows) : lines());
      return rows.length > 0 ? EXIT.ok : EXIT.no;
    });
  },
});
