/** The main context: processes, logs, `events`. */
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { overridable } from './raw-lines.ts';
import { block, directive, type Node, raw } from './syntax.ts';

/** Everything before `http`. The operator's lines come first: `load_module` must stand before the blocks. */
export function mainNodes(options: NginxOptions): readonly Node[] {
  return [...options.globalOptions.map(raw), ...overridable(ownNodes(options), options.globalOptions)];
}

function ownNodes(options: NginxOptions): readonly Node[] {
  return [
    ...(options.user === undefined ? [] : [directive('user', options.user)]),
    directive('worker_processes', options.workerProcesses),
    directive('worker_rlimit_nofile', options.rlimitNoFile),
    // Old workers serve what they have begun for as long as one answer may take.
    directive('worker_shutdown_timeout', `${Math.max(options.readTimeoutSeconds, options.sendTimeoutSeconds)}s`),
    directive('pcre_jit', 'on'),
    directive('pid', options.pidPath),
    directive('error_log', options.errorLogPath, 'warn'),
    block('events', [], [directive('worker_connections', options.maxConnections)]),
  ];
}
