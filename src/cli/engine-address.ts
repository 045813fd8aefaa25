/** Which engine a command speaks to. */
import type { CliTools } from './command.ts';

/** The option that names it, for every command that needs one. */
export const HOST_OPTION = { host: { type: 'string', short: 'H' } } as const;

export function engineUrl(given: string | undefined, env: CliTools['env']): string {
  return given ?? (env['DOCKER_HOST'] || 'unix:///var/run/docker.sock');
}
