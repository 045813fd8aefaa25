/** Two texts to the lines that differ, as `diff -u` prints them. Pure. */
import { editBetween } from '../model/lists.ts';

type Edit = { readonly kind: ' ' | '-' | '+'; readonly line: string };

const CONTEXT = 3;
/** Beyond this many edits the middle is told as replaced: the search costs the square of it. */
const MOST_EDITS = 1_500;

/** `''` when they are equal. */
export function unifiedDiff(before: string, after: string, names: { readonly before: string; readonly after: string }) {
  if (before === after) {
    return '';
  }
  const hunks = hunksOf(editsOf(linesOf(before), linesOf(after)));
  return `--- ${names.before}\n+++ ${names.after}\n${hunks.join('')}`;
}

function linesOf(text: string): readonly string[] {
  return text.replace(/\n$/, '').split('\n');
}

function editsOf(a: readonly string[], b: readonly string[]): readonly Edit[] {
  const { at, removed, added } = editBetween(a, b);
  const keep = (line: string): Edit => ({ kind: ' ', line });
  return [...a.slice(0, at).map(keep), ...shortestEdits(removed, added), ...a.slice(at + removed.length).map(keep)];
}

/** E. Myers, An O(ND) Difference Algorithm and Its Variations (1986), the greedy one. */
function shortestEdits(a: readonly string[], b: readonly string[]): readonly Edit[] {
  const trace = searchTrace(a, b);
  if (trace === undefined) {
    return [...a.map((line): Edit => ({ kind: '-', line })), ...b.map((line): Edit => ({ kind: '+', line }))];
  }
  const edits: Edit[] = [];
  let [x, y] = [a.length, b.length];
  for (let d = trace.length - 1; d >= 0; d -= 1) {
    const at = furthest(trace[d] ?? new Map());
    const k = x - y;
    const isDown = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const [fromX, fromK] = isDown ? [at(k + 1), k + 1] : [at(k - 1), k - 1];
    const fromY = fromX - fromK;
    while (x > Math.max(fromX, 0) && y > Math.max(fromY, 0)) {
      edits.push({ kind: ' ', line: a[x - 1] ?? '' });
      [x, y] = [x - 1, y - 1];
    }
    if (d > 0) {
      edits.push(isDown ? { kind: '+', line: b[y - 1] ?? '' } : { kind: '-', line: a[x - 1] ?? '' });
      [x, y] = [fromX, fromY];
    }
  }
  return edits.reverse();
}

type Reach = ReadonlyMap<number, number>;

function furthest(reach: Reach): (k: number) => number {
  return (k) => reach.get(k) ?? (k === 1 && reach.size === 0 ? 0 : -1);
}

/** For each number of edits, how far each diagonal was reached before them; `undefined`: too many edits. */
function searchTrace(a: readonly string[], b: readonly string[]): readonly Reach[] | undefined {
  const trace: Reach[] = [];
  let reach: Reach = new Map();
  for (let d = 0; d <= Math.min(a.length + b.length, MOST_EDITS); d += 1) {
    trace.push(reach);
    const at = furthest(reach);
    const next = new Map<number, number>();
    for (let k = -d; k <= d; k += 2) {
      let x = k === -d || (k !== d && at(k - 1) < at(k + 1)) ? at(k + 1) : at(k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) {
        x += 1;
      }
      next.set(k, x);
      if (x >= a.length && x - k >= b.length) {
        return trace;
      }
    }
    reach = next;
  }
  return undefined;
}

interface Numbered extends Edit {
  /** Line numbers from 1: of the line itself, or of the one that comes next on a side that lacks it. */
  readonly old: number;
  readonly now: number;
}

function hunksOf(edits: readonly Edit[]): readonly string[] {
  const shown = new Set<number>();
  edits.forEach(({ kind }, at) => {
    for (let near = at - CONTEXT; kind !== ' ' && near <= at + CONTEXT; near += 1) {
      shown.add(near);
    }
  });
  const hunks: Numbered[][] = [];
  withNumbers(edits).forEach((edit, at) => {
    if (shown.has(at)) {
      const hunk = at > 0 && shown.has(at - 1) ? hunks.at(-1) : undefined;
      if (hunk === undefined) {
        hunks.push([edit]);
      } else {
        hunk.push(edit);
      }
    }
  });
  return hunks.map(hunkText);
}

function withNumbers(edits: readonly Edit[]): readonly Numbered[] {
  let [old, now] = [1, 1];
  return edits.map((edit) => {
    const numbered = { ...edit, old, now };
    old += edit.kind === '+' ? 0 : 1;
    now += edit.kind === '-' ? 0 : 1;
    return numbered;
  });
}

function hunkText(hunk: readonly Numbered[]): string {
  const [first] = hunk;
  const side = (other: '+' | '-', from: number) => {
    const count = hunk.filter(({ kind }) => kind !== other).length;
    return `${count === 0 ? from - 1 : from},${count}`;
  };
  const head = `@@ -${side('+', first?.old ?? 1)} +${side('-', first?.now ?? 1)} @@`;
  return [head, ...hunk.map(({ kind, line }) => `${kind}${line}`), ''].join('\n');
}
