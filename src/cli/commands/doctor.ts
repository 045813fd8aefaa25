/** `interlock doctor`. */
import { defineCommand, EXIT, expectNoOperands } from '../command.ts';
import { CORE_HELP, CORE_OPTIONS, withCore } from '../core-link.ts';
import { doctorLines, isHealthy } from '../show/doctor.ts';
import { jsonText, painterFor } from '../show/text.ts';

const HELP = `interlock doctor: what is wrong with core, its Swarm, the proxies, and how routed services are run; and what to do about it.

Usage
  interlock doctor [--strict] [--json]

Options
  --strict   exit code 1 for warnings too
  --json     for scripts: one object with "checks", each with id, verdict, seen, todo and about

${CORE_HELP}
Each check is ok, warn, bad, or unknown where it cannot be told from core. Nothing is changed, and no request is sent to any service.

Exit codes
  0   nothing is bad                             64   wrong usage
  1   something is (with --strict: or a warning) 69   core cannot be reached

Example
  docker exec $(docker ps -qf name=interlock_core) interlock doctor
`;

export const doctorCommand = defineCommand({
  name: 'doctor',
  help: HELP,
  options: { strict: { type: 'boolean' }, json: { type: 'boolean' }, ...CORE_OPTIONS },
  run({ values, operands }, tools) {
    expectNoOperands(operands);
    const { strict = false, json = false } = values;
    return withCore(values, tools, async (core) => {
      const found = await core.diagnose({}, tools.signal);
      const { stdout, env } = tools;
      stdout.write(json ? jsonText(found) : `${doctorLines(found, painterFor(stdout, env)).join('\n')}\n`);
      return isHealthy(found, strict) ? EXIT.ok : EXIT.no;
    });
  },
});
