/**
 * One reload and how it ended. In: a running NGINX whose file was exchanged. Out: applied, or refused in NGINX's own words.
 *
 *   SIGHUP --> the master reads the file --refuses--> words in the extra error log; the old workers go on
 *                        | takes it
 *                        v
 *        new workers start --they accept--> old ones are told to finish --> none of them accepts: applied
 */
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/logging.ts';
import { type Complaints, isFinal } from './complaints.ts';
import type { NginxProcess } from './process.ts';
import { acceptingWorkers, childrenOf, tellToFinish } from './workers.ts';

export type ReloadOutcome = { readonly kind: 'applied' } | { readonly kind: 'refused'; readonly reason: string };

export interface ReloadParts {
  readonly nginx: Pick<NginxProcess, 'pid'>;
  readonly complaints: Complaints;
  /** Sends SIGHUP. */
  readonly send: () => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Short at first: a small file is read in milliseconds, and who waits for "applied" waits for this. */
const LOOK_EVERY_MS = 5;
const LOOK_SELDOM_MS = 25;
const SELDOM_AFTER_MS = 2_000;
/** A file of 10,000 hosts takes seconds on a slow node; beyond this something hangs. */
const GIVE_UP_MS = 60_000;

/** Throws the signal's reason when it aborts: NGINX has ended, or is told to. */
export async function reload(parts: ReloadParts, signal: AbortSignal): Promise<ReloadOutcome> {
  const { nginx, complaints, send, clock } = parts;
  const exchanged = watchExchange(nginx.pid, clock);
  await complaints.clear();
  signal.throwIfAborted();
  send();
  const sentAt = clock.monotonic();
  parts.logger.debug({ stage: 'sent' }, 'SIGHUP sent');
  for (;;) {
    const exchange = exchanged();
    if (exchange === 'done') {
      return { kind: 'applied' };
    }
    const words = exchange === 'not-begun' ? await complaints.read() : '';
    if (isFinal(words)) {
      return { kind: 'refused', reason: words };
    }
    const waitedMs = clock.monotonic() - sentAt;
    if (waitedMs > GIVE_UP_MS) {
      return { kind: 'refused', reason: `NGINX did not finish the reload within ${GIVE_UP_MS / 1_000} s` };
    }
    await clock.sleep(waitedMs > SELDOM_AFTER_MS ? LOOK_SELDOM_MS : LOOK_EVERY_MS, signal);
  }
}

type Exchange = 'not-begun' | 'under-way' | 'done';

/** Call before SIGHUP; what it returns says how far the exchange of the workers is. */
function watchExchange(pid: number, clock: Pick<Clock, 'monotonic'>): () => Exchange {
  const old = new Set(acceptingWorkers(pid));
  return old.size > 0 ? byTitles(pid, old) : byTime(pid, clock);
}

/**
 * The master makes new workers, sleeps for 100 ms "to allow new processes to start", and tells the old ones to finish. What it waits for
 * can be seen here: as soon as as many new ones accept as there were, the old ones are told, and only they know an old file. A worker
 * heeds the signal as it heeds the master's word, and the word that follows changes nothing. One that ends before it is not started
 * again: the master, whose SIGCHLD is blocked while it sleeps, marks all of them as leaving before it looks who has ended
 * (`ngx_worker_process_cycle`, `ngx_signal_worker_processes`, `ngx_reap_children`). With fewer new workers, the master's time is kept.
 */
function byTitles(pid: number, old: ReadonlySet<number>): () => Exchange {
  let told = false;
  return () => {
    const accepting = acceptingWorkers(pid);
    const fresh = accepting.filter((worker) => !old.has(worker));
    if (fresh.length === 0) {
      return 'not-begun';
    }
    if (fresh.length === accepting.length) {
      return 'done';
    }
    if (!told && fresh.length >= old.size) {
      told = true;
      tellToFinish(accepting.filter((worker) => old.has(worker)));
    }
    return 'under-way';
  };
}

/** Where titles cannot be read: old workers are told to finish 100 ms after the new ones were made (`ngx_master_process_cycle`). */
const TOLD_BY_THEN_MS = 300;

function byTime(pid: number, clock: Pick<Clock, 'monotonic'>): () => Exchange {
  const old = new Set(childrenOf(pid));
  let begunAt: number | undefined;
  return () => {
    if (begunAt === undefined && childrenOf(pid).some((child) => !old.has(child))) {
      begunAt = clock.monotonic();
    }
    if (begunAt === undefined) {
      return 'not-begun';
    }
    return clock.monotonic() - begunAt >= TOLD_BY_THEN_MS ? 'done' : 'under-way';
  };
}
