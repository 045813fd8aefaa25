/** How a door of this room is made: one schema, one typed error that names the object and the path. */
import type { z } from 'zod';

/** The Engine's answer does not have the documented shape. */
export class SnapshotParseError extends Error {
  /** What was being read, e.g. `service`. */
  readonly object: string;
  /** The object's id, if the answer has one. */
  readonly id: string | undefined;
  /** Where in the object, e.g. `Spec.Name`; empty for the object itself. */
  readonly path: string;

  constructor(object: string, id: string | undefined, path: string, problem: string) {
    super(`${object}${id === undefined ? '' : ` ${id}`}${path === '' ? '' : `, ${path}`}: ${problem}`);
    this.name = 'SnapshotParseError';
    this.object = object;
    this.id = id;
    this.path = path;
  }
}

/** A parser for one object. */
export function oneOf<Shape extends z.ZodType>(object: string, shape: Shape): (raw: unknown) => z.output<Shape> {
  return (raw) => {
    const result = shape.safeParse(raw);
    if (result.success) {
      return result.data;
    }
    const issue = result.error.issues[0];
    throw new SnapshotParseError(
      object,
      idOf(raw),
      issue?.path.map(String).join('.') ?? '',
      issue?.message ?? 'unknown',
    );
  };
}

/** A parser for a list of them. One item that cannot be read fails the whole list: a partial list would look like removals. */
export function listOf<Item>(object: string, parseItem: (raw: unknown) => Item): (raw: unknown) => readonly Item[] {
  return (raw) => {
    if (!Array.isArray(raw)) {
      throw new SnapshotParseError(`list of ${object}s`, undefined, '', 'expected an array');
    }
    return raw.map((item: unknown) => parseItem(item));
  };
}

function idOf(raw: unknown): string | undefined {
  if (typeof raw !== 'object' || raw === null) {
    return undefined;
  }
  const { ID, Id } = raw as { ID?: unknown; Id?: unknown };
  return [ID, Id].find((id) => typeof id === 'string');
}
