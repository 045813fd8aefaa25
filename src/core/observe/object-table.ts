/**
 * The objects of one kind, kept in order whoever tells of them: lists of the Docker API and events of the watch come from one raft log,
 * and arrive here in any order, late, or twice.
 *
 * A mark is a point in our own time: everything that is sent or asked after it has a higher one. A list carries the mark that was taken
 * before it was asked for. What was learnt after that mark is newer than the list, unless version indexes say otherwise.
 */
import { isDeepStrictEqual } from 'node:util';

/** A point in our own time. */
export type Mark = number;

/** Written in place: a list of 30,000 that says nothing new would leave as many behind. */
interface Entry {
  /** `Version.Index`; missing for networks out of a list. */
  version: number | undefined;
  mark: Mark;
  /** A list has said the same as this, in this version. */
  isListed: boolean;
}

/** One object that differs after a list was merged. `after` is missing for one that is gone. */
export interface Difference<Part> {
  readonly id: string;
  readonly version: number | undefined;
  readonly before: Part | undefined;
  readonly after: Part | undefined;
}

export interface ObjectTable<Part> {
  get(id: string): Part | undefined;
  /** The object, if a list has said so in this very version: what only the watch told of is held against a list once. */
  listed(id: string, version: number): Part | undefined;
  values(): IterableIterator<Part>;
  size(): number;
  /** From the watch: true when it changed something. */
  upsert(id: string, version: number, part: Part, mark: Mark): boolean;
  remove(id: string, mark: Mark): boolean;
  /**
   * A complete list, or the complete part of it that `covers` says. What an older list does not have is not gone, and what it still has
   * does not come back. An unchanged object stays the same object.
   */
  merge(list: readonly Part[], since: Mark, covers?: Cover<Part>): readonly Difference<Part>[];
  /** The Swarm's log was replaced by another one: the next list is right, whatever its versions. */
  forgetVersions(): void;
}

export interface Cover<Part> {
  /** Those known objects that the list would have if they were still there. */
  readonly known: () => Iterable<Part>;
}

export interface Identity<Part> {
  readonly idOf: (part: Part) => string;
  readonly versionOf: (part: Part) => number | undefined;
  /** What to keep of the known object where the watch cannot know better; default: nothing. */
  readonly complete?: (part: Part, known: Part) => Part;
}

export function createObjectTable<Part>({ idOf, versionOf, complete }: Identity<Part>): ObjectTable<Part> {
  const entries = new Map<string, Entry>();
  /** Under the same ids, by themselves: all of them are handed out after each change of one. */
  const parts = new Map<string, Part>();
  /** Objects that are gone. An id is never given twice, so nothing but a newer list brings one back. */
  const gone = new Map<string, Mark>();
  /** Versions in a list that are lower than what is known; believed when a second list says the same. */
  const doubted = new Map<string, number>();

  function put(id: string, part: Part, entry: Entry): void {
    parts.set(id, part);
    entries.set(id, entry);
  }

  function drop(id: string): boolean {
    parts.delete(id);
    return entries.delete(id);
  }

  /** Takes what a list says of one object. True when that changes something. */
  function accept(id: string, part: Part, since: Mark): boolean {
    const version = versionOf(part);
    const removedAt = gone.get(id);
    if (removedAt !== undefined && removedAt > since) {
      return false;
    }
    gone.delete(id);
    const known = entries.get(id);
    const before = parts.get(id);
    if (known === undefined || before === undefined) {
      put(id, part, { version, mark: since, isListed: true });
      return true;
    }
    const isPassedOver =
      known.mark > since
        ? !isNewer(version, known.version)
        : isOlder(version, known.version) && !isConfirmed(id, version);
    if (isPassedOver) {
      return false;
    }
    const isSame = before === part || (known.mark <= since && isDeepStrictEqual(before, part));
    if (known.mark <= since) {
      doubted.delete(id);
    }
    parts.set(id, isSame ? before : part);
    known.version = isSame ? (version ?? known.version) : version;
    known.mark = since;
    known.isListed = true;
    return !isSame;
  }

  /** A stale read lasts for one list; a log that was restored from a backup lasts. */
  function isConfirmed(id: string, version: number | undefined): boolean {
    const confirmed = doubted.get(id) === version;
    doubted.set(id, version ?? 0);
    return confirmed;
  }

  function dropMissing(
    listedIds: ReadonlySet<string>,
    since: Mark,
    known: Iterable<Part>,
  ): readonly Difference<Part>[] {
    const missing: Difference<Part>[] = [];
    for (const part of known) {
      const id = idOf(part);
      const entry = entries.get(id);
      if (!listedIds.has(id) && entry !== undefined && entry.mark <= since) {
        missing.push({ id, version: entry.version, before: part, after: undefined });
      }
    }
    for (const { id } of missing) {
      drop(id);
      // The watch may be behind the list and still tell of it.
      gone.set(id, since);
    }
    return missing;
  }

  return {
    get: (id) => parts.get(id),
    listed(id, version) {
      const entry = entries.get(id);
      return entry?.isListed === true && entry.version === version ? parts.get(id) : undefined;
    },
    values: () => parts.values(),
    size: () => entries.size,
    upsert(id, version, part, mark) {
      const known = entries.get(id);
      if (gone.has(id) || (known !== undefined && !isNewer(version, known.version))) {
        return false;
      }
      doubted.delete(id);
      const before = parts.get(id);
      const whole = before === undefined || complete === undefined ? part : complete(part, before);
      put(id, whole, { version, mark, isListed: false });
      return true;
    },
    remove(id, mark) {
      gone.set(id, mark);
      doubted.delete(id);
      return drop(id);
    },
    merge(list, since, covers) {
      const ids = new Set(list.map(idOf));
      const goneBefore = covers === undefined ? [...gone].filter(([id, at]) => at <= since && !ids.has(id)) : [];
      const changed: Difference<Part>[] = [];
      for (const part of list) {
        const id = idOf(part);
        const before = parts.get(id);
        if (accept(id, part, since)) {
          changed.push({ id, version: versionOf(part), before, after: part });
        }
      }
      const missing = dropMissing(ids, since, covers?.known() ?? parts.values());
      for (const [id] of goneBefore) {
        gone.delete(id);
      }
      return [...changed, ...missing];
    },
    forgetVersions() {
      doubted.clear();
      for (const entry of entries.values()) {
        entry.version = undefined;
        entry.isListed = false;
      }
    },
  };
}

function isNewer(version: number | undefined, than: number | undefined): boolean {
  return version !== undefined && (than === undefined || version > than);
}

/** Where one of the two has no version, order in time decides. */
function isOlder(version: number | undefined, than: number | undefined): boolean {
  return version !== undefined && than !== undefined && version < than;
}
