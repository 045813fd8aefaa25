/** What `npm run up` and its sisters say while they work: a line per step with the time since the start. */

/** Something a person has to put right. */
export class StepFailure extends Error {
  override readonly name = 'StepFailure';
  /** What to do about it. */
  readonly todo: string;

  constructor(message: string, todo: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.todo = todo;
  }
}

export interface Report {
  /** A line with the time since the start. */
  say(line: string): void;
  /** A line below the one before, without a time. */
  detail(line: string): void;
  /**
   * Does one step. Says its title before, and the result (what `work` returns) after it. What it throws becomes a StepFailure
   * that names the step; `todo` is for errors that bring no advice of their own.
   */
  step<T>(title: string, todo: string, work: () => Promise<T>): Promise<T>;
}

/** `write` gets whole lines without the line break; `now` is in milliseconds. */
export function createReport(write: (line: string) => void, now: () => number): Report {
  const startedMs = now();
  const elapsed = () => `[${((now() - startedMs) / 1000).toFixed(1).padStart(6)} s]`;
  const say = (line: string) => write(`${elapsed()} ${line}`);
  return {
    say,
    detail: (line) => write(`${' '.repeat(11)} ${line}`),
    async step(title, todo, work) {
      say(`${title} ...`);
      try {
        return await work();
      } catch (error) {
        throw asFailure(title, todo, error);
      }
    },
  };
}

function asFailure(title: string, todo: string, error: unknown): unknown {
  if (error instanceof StepFailure) return new StepFailure(`${title}: ${error.message}`, error.todo, { cause: error });
  // An abort is no failure of the step.
  if (error instanceof Error && error.name === 'AbortError') return error;
  return new StepFailure(`${title}: ${error instanceof Error ? error.message : String(error)}`, todo, { cause: error });
}
