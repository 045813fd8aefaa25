/** The main context: processes, logs, `events`. */
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { overridable } from './raw-lines.ts';
import { block, directive, type Node, raw } from './syntax.ts';
import { idleConnections } from './upstreams.ts';

/** Everything before `http`; `pools`: how many there are. The operator's lines come first: `load_module` must stand before the blocks. */
export function mainNodes(options: NginxOptions, pools: number): readonly Node[] {
  return [...options.globalOptions.map(raw), ...overridable(ownNodes(options, pools), options.globalOptions)];
}

function ownNodes(options: NginxOptions, pools: number): readonly Node[] {
  return [
    ...(options.user === undefined ? [] : [directive('user', options.user)]),
    directive('worker_processes', options.workerProcesses),
    directive('worker_rlimit_nofile', options.rlimitNoFile),
    // Old workers serve what they have begun for as long as one answer may take.
    directive('worker_shutdown_timeout', `${Math.max(options.readTimeoutSeconds, options.sendTimeoutSeconds)}s`),
    directive('pcre_jit', 'on'),
    directive('pid', options.pidPath),
    directive('error_log', options.errorLogPath, 'warn'),
    block('events', [], [directive('worker_connections', workerConnections(options, pools))]),
  ];
}

/** In steps, so that it does not change with every pool. */
const STEP = 1_024;

/** `MaxConnections` are for what is in use, with clients and upstreams; idle ones to upstreams have room beside them. */
function workerConnections({ maxConnections }: NginxOptions, pools: number): number {
  return maxConnections + Math.ceil(idleConnections(pools) / STEP) * STEP;
}
