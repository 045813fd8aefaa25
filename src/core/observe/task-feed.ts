/**
 * Where task changes come from. Docker's `/events` never tells of tasks (moby/moby#37403), so core either watches the manager's control
 * socket or polls `/tasks`. Both tell the picture, which keeps order between them.
 */
import type { Task } from '../../model/snapshot.ts';
import type { ReadableCell, Trigger } from '../../runtime/cell.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { Looks } from './looks.ts';
import type { Listed, Picture } from './picture.ts';

export interface TaskFeed {
  /** Runs until the signal aborts; throws an OperationalError when it cannot go on. */
  run(context: TaskFeedContext, signal: AbortSignal): Promise<void>;
}

export interface TaskFeedContext {
  readonly picture: Picture;
  /** Fired when something says that tasks may have changed. */
  readonly lookNow: Trigger;
  /** Fired when services were listed and differ: what is `converging` may be more. The tasks may have been listed before them. */
  readonly servicesListed: Trigger;
  /** Services that proxies could not reach. */
  readonly looks: Looks;
  /** Ids of the services whose tasks are on the move right now. */
  readonly converging: () => readonly string[];
  /** Whether one of these tasks is to run for a service that is not in the picture: its list was older than its event. */
  readonly missesServiceOf: (tasks: readonly Task[]) => boolean;
  /** Has these parts listed again, whoever tells of their changes. */
  readonly refresh: (parts: readonly Listed[]) => void;
}

/** Which feed is in use, and why. */
export interface FeedStatus {
  readonly kind: 'poll' | 'watch';
  readonly reason: string;
}

export interface FeedChoice {
  readonly status: ReadableCell<FeedStatus>;
  /** While true, the watch tells of services, nodes and networks too: nobody need list them because of an event. */
  watching(): boolean;
  components(context: TaskFeedContext): readonly Component[];
}
