/**
 * What one task event costs core, at 100, 1,000 and 10,000 services with three tasks each: the manager's bytes -> Snapshot cell -> model.
 *
 *   npm run bench:feed [-- --json FILE]
 *
 * In one process, without a Swarm: the bytes are those of a real message, made beforehand. `snapshot` must not grow with the services;
 * `list` is what one full list costs in its place (parsed JSON to Snapshot, without the engine's part); `model` is the step behind it, as core takes it: from Snapshot to Snapshot,
 * digest included.
 */
import { writeFileSync } from 'node:fs';
import { createPicture } from '../../src/core/observe/picture.ts';
import { createRouter } from '../../src/labels/models.ts';
import { digestModel } from '../../src/model/revision.ts';
import type { Snapshot, Task } from '../../src/model/snapshot.ts';
import { createCell } from '../../src/runtime/cell.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { definitionOf } from '../../src/settings/cluster-definition.ts';
import { parseTasks } from '../../src/snapshot/task.ts';
import { changesOf } from '../../src/swarmkit/changes.ts';
import { decodeWatchMessage, encodeWatchMessage } from '../../src/swarmkit/messages.ts';
import { extensionSettings } from '../support/settings.ts';
import { network, node, service } from '../support/snapshots.ts';
import { percentile, printTable } from './stats.ts';

const SIZES = [100, 1_000, 10_000] as const;
const TASKS_EACH = 3;
const EVENTS = 2_000;
const WARM_UP = 200;
const MODELS = 30;

interface Row {
  readonly services: number;
  readonly tasks: number;
  readonly snapshotP50Us: number;
  readonly snapshotP99Us: number;
  readonly snapshotCpuUs: number;
  readonly modelP50Ms: number;
  readonly modelP99Ms: number;
  readonly listMs: number;
}

function measure(services: number): Row {
  const cell = createCell<Snapshot>();
  const picture = createPicture(cell, systemClock);
  const tasks = taskList(services);
  picture.acceptLists(
    {
      services: Array.from({ length: services }, (_, at) =>
        service({
          id: `service-${at}`,
          name: `s${at}`,
          labels: { 'com.docker.lb.hosts': `h${at}.example.com`, 'com.docker.lb.port': '80' },
          mode: { kind: 'replicated', replicas: TASKS_EACH },
        }),
      ),
      nodes: [node()],
      networks: [network()],
      secrets: [],
    },
    picture.mark(),
  );
  const list = once(() =>
    picture.acceptTasks({ kind: 'all', tasks: parseTasks(JSON.parse(JSON.stringify(tasks))) }, picture.mark()),
  );

  const apply = (bytes: Buffer): void => picture.applyChanges(changesOf(decodeWatchMessage(bytes)));
  const events = Array.from({ length: WARM_UP + EVENTS + MODELS + 5 }, (_, at) => eventBytes(services, at));
  events.slice(0, WARM_UP).forEach(apply);
  const cpu = process.cpuUsage();
  const times = events.slice(WARM_UP, WARM_UP + EVENTS).map((bytes) => once(() => apply(bytes)));
  const { user, system } = process.cpuUsage(cpu);

  const router = createRouter([definitionOf(extensionSettings())]);
  const revise = (snapshot: Snapshot | undefined) => snapshot && router.update(snapshot).built.models.map(digestModel);
  revise(cell.get());
  const models = events.slice(WARM_UP + EVENTS).map((bytes) => {
    apply(bytes);
    const snapshot = cell.get();
    return once(() => revise(snapshot));
  });
  return {
    services,
    tasks: services * TASKS_EACH,
    snapshotP50Us: microseconds(times, 50),
    snapshotP99Us: microseconds(times, 99),
    snapshotCpuUs: Math.round((user + system) / EVENTS),
    modelP50Ms: percentile(models.slice(5), 50),
    modelP99Ms: percentile(models.slice(5), 99),
    listMs: Math.round(list),
  };
}

function once(act: () => unknown): number {
  const begun = performance.now();
  act();
  return performance.now() - begun;
}

function microseconds(samples: readonly number[], p: number): number {
  return Math.round(
    percentile(
      samples.map((ms) => ms * 1_000),
      p,
    ),
  );
}

/** As the engine prints them. */
function taskList(services: number): readonly unknown[] {
  return Array.from({ length: services * TASKS_EACH }, (_, at) => ({
    ID: `task-${at}`,
    Version: { Index: 10 },
    CreatedAt: '2026-01-01T00:00:00.5Z',
    UpdatedAt: '2026-01-01T00:00:00.5Z',
    ServiceID: `service-${Math.floor(at / TASKS_EACH)}`,
    NodeID: 'node1',
    Status: { State: 'running' },
    DesiredState: 'running',
    NetworksAttachments: [{ Network: { ID: 'net1' }, Addresses: [addressOf(at)] }],
  }));
}

function addressOf(at: number): string {
  return `10.${1 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}/8`;
}

/** One task of any service goes down, or comes up again. */
function eventBytes(services: number, at: number): Buffer {
  const task = (at * 7_919) % (services * TASKS_EACH);
  const time = { seconds: 1_780_000_000 + at, nanos: 0 };
  const desiredState: Uppercase<Task['desiredState']> = at % 2 === 0 ? 'SHUTDOWN' : 'RUNNING';
  return encodeWatchMessage({
    events: [
      {
        action: 'WATCH_ACTION_UPDATE',
        object: {
          task: {
            id: `task-${task}`,
            meta: { version: { index: 100 + at }, createdAt: time, updatedAt: time },
            spec: null,
            serviceId: `service-${Math.floor(task / TASKS_EACH)}`,
            nodeId: 'node1',
            status: { state: 'RUNNING', portStatus: null },
            desiredState,
            networks: [{ network: { id: 'net1' }, addresses: [addressOf(task)] }],
          },
        },
      },
    ],
  });
}

const rows = SIZES.map(measure);
printTable(rows.map((row) => ({ ...row })));
const at = process.argv.indexOf('--json');
const file = process.argv[at + 1];
if (at !== -1 && file !== undefined) {
  writeFileSync(
    file,
    `${JSON.stringify(
      rows.map((row) => ({ bench: 'feed', ...row })),
      null,
      2,
    )}\n`,
  );
}
