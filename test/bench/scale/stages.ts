/** Where the time of one change went, by the daemons' own debug logs (all clocks are this machine's; resolution 1 ms). */
import type { LogLine, Role } from './daemons.ts';

/** In the order of the flow; ms each. */
export const STAGES = ['build', 'toExtension', 'judge', 'toCore', 'toAgent', 'stage', 'signal', 'reload'] as const;
export type Stage = (typeof STAGES)[number];

export interface Stages extends Readonly<Record<Stage, number>> {
  /** From the change to SIGHUP. */
  readonly untilSighup: number;
  /** Parts of `judge` and of `stage`, the rest of which is the fetching. */
  readonly renderMs: number;
  readonly fitMs: number;
  readonly writeMs: number;
}

export function stagesOf(logs: Readonly<Record<Role, readonly LogLine[]>>, changedAtMs: number): Stages {
  const first = (role: Role, message: string) =>
    logs[role].find((line) => line['msg'] === message && Date.parse(String(line['time'])) >= changedAtMs - 1) ?? {};
  const at = (line: LogLine) => Date.parse(String(line['time']));
  const judged = first('extension', 'judged');
  const staged = first('agent', 'staged');
  const judgeMs = Number(judged['durationMs']);
  const times = [
    changedAtMs,
    at(first('core', 'model revised')),
    at(judged) - judgeMs,
    at(judged),
    at(first('core', 'artifact accepted')),
    at(first('agent', 'directive')),
    at(staged),
    at(first('agent', 'SIGHUP sent')),
    at(first('agent', 'applied')),
  ];
  const between = STAGES.map((stage, index) => [stage, (times[index + 1] ?? 0) - (times[index] ?? 0)] as const);
  const sighup = times[7] ?? 0;
  return {
    ...(Object.fromEntries(between) as Record<Stage, number>), // one for each stage
    untilSighup: sighup - changedAtMs,
    renderMs: Number(judged['renderMs']),
    fitMs: Number(staged['fitMs']),
    writeMs: Number(staged['writeMs']),
  };
}
