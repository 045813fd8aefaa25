import { beforeEach, describe, expect, it } from 'vitest';
import { createLooks, type Looks } from '../../../../src/core/observe/looks.ts';
import type { Task } from '../../../../src/model/snapshot.ts';
import { task } from '../../../support/snapshots.ts';

const time = { ms: 0 };
let looks: Looks;
let tasks: Map<string, readonly Task[]>;
let outcomes: string[];
const none: readonly Task[] = [];

beforeEach(() => {
  time.ms = 0;
  tasks = new Map();
  outcomes = [];
  looks = createLooks({
    clock: { monotonic: () => time.ms },
    tasksOf: (id) => tasks.get(id) ?? none,
    onLooked: (outcome) => outcomes.push(outcome),
  });
});

/** A feed that lists whatever is due; a proxy that says every `everyMs` that it cannot reach these. When the lists were taken. */
function run(
  ms: number,
  ids: readonly string[],
  everyMs = 100,
): readonly { readonly atMs: number; readonly ids: readonly string[] }[] {
  const lists: { readonly atMs: number; readonly ids: readonly string[] }[] = [];
  for (let passed = 0; passed < ms; passed += 10) {
    if (passed % everyMs === 0) {
      looks.note(ids);
    }
    const due = looks.due();
    if (due.length > 0) {
      lists.push({ atMs: time.ms, ids: due });
      looks.looked(due);
    }
    time.ms += 10;
  }
  return lists;
}

describe('looks at what proxies cannot reach', () => {
  it('are taken at once and a few times more, because Swarm knows a moment later', () => {
    looks.note(['a']);
    expect(looks.nextInMs()).toBe(0);
    const lists = run(5_000, [], 10);
    expect(lists.map(({ atMs }) => atMs)).toEqual([0, 250, 750, 1_750]);
    expect(looks.nextInMs()).toBe(Number.POSITIVE_INFINITY);
    expect(outcomes).toEqual(['unchanged']);
  });

  it('are taken ever more rarely while nothing is new, at least once a minute and a bit', () => {
    const lists = run(30 * 60_000, ['a']);
    const begun = lists.filter((_, index) => index % 4 === 0).map(({ atMs }) => atMs);
    const pauses = begun.slice(1).map((atMs, index) => atMs - (begun[index] ?? 0));
    expect(pauses.slice(0, 3)).toEqual([2_800, 3_800, 5_800]);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(62_000);
    expect(lists.length).toBeLessThan(160);
  });

  it('end when the tasks changed, and the next word counts a second later', () => {
    looks.note(['a']);
    looks.looked(looks.due());
    tasks.set('a', [task()]);
    time.ms += 250;
    looks.looked(looks.due());
    expect(outcomes).toEqual(['changed']);
    looks.note(['a']);
    expect(looks.due()).toEqual([]);
    time.ms += 1_000;
    looks.note(['a']);
    expect(looks.due()).toEqual(['a']);
  });

  it('begin anew for a service that nobody spoke of for long', () => {
    run(10 * 60_000, ['a']);
    time.ms += 3 * 60_000;
    const lists = run(4_000, ['a']);
    expect(lists.length).toBeGreaterThan(4);
  });

  it('come to one list a second for all services together, whoever complains of whatever', () => {
    const ids = Array.from({ length: 1_000 }, (_, index) => `service-${index}`);
    const lists = run(120_000, ids, 200);
    expect(lists.length).toBeLessThanOrEqual(20 + 120);
    expect(Math.max(...lists.map((list) => list.ids.length))).toBeLessThanOrEqual(200);
  });
});
