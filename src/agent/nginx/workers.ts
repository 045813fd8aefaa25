/** NGINX's workers, as the kernel shows them: who of them still accepts connections. */
import { readdirSync, readFileSync } from 'node:fs';
import { systemCode } from '../../runtime/errors.ts';

/**
 * Pids of the master's workers that accept connections. A worker that was told to finish writes so into its title and closes its
 * listeners in one go, without a look at its sockets between (`ngx_worker_process_cycle`, src/os/unix/ngx_process_cycle.c); a new
 * one takes its title when it is set up.
 */
export function acceptingWorkers(masterPid: number): readonly number[] {
  return childrenOf(masterPid).filter((pid) => {
    const title = titleOf(pid);
    return title.includes('worker process') && !title.includes('worker process is shutting down');
  });
}

/** Pids of all its workers, those that finish what they have included. */
export function workers(masterPid: number): readonly number[] {
  return childrenOf(masterPid).filter((pid) => titleOf(pid).includes('worker process'));
}

/** SIGQUIT: accept no more, finish what is open, end. One that has ended, or that may not be told (it is another user's), is left to the master. */
export function tellToFinish(workerPids: readonly number[]): void {
  for (const pid of workerPids) {
    try {
      process.kill(pid, 'SIGQUIT');
    } catch (error) {
      if (!isRefusedSignal(error)) {
        throw error;
      }
    }
  }
}

const isRefusedSignal = (error: unknown): boolean => ['ESRCH', 'EPERM'].includes(systemCode(error) ?? '');

/** Pids, of whatever kind. One short read where the kernel has CONFIG_PROC_CHILDREN, else a look at every process: a proxy's container has a handful. */
export function childrenOf(pid: number): readonly number[] {
  const listed = readOrNothing(`/proc/${pid}/task/${pid}/children`);
  if (listed !== undefined) {
    return listed.split(' ').filter(Boolean).map(Number);
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map(Number);
}

/** The name in the second field may hold anything, blanks and brackets included: the last bracket ends it (proc(5)). */
function parentOf(name: string): number {
  const stat = readOrNothing(`/proc/${name}/stat`) ?? '';
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

function titleOf(pid: number): string {
  return readOrNothing(`/proc/${pid}/cmdline`) ?? '';
}

/** A process may end between two looks. */
function readOrNothing(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
