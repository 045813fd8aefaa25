/**
 * A JSON array as it arrives -> its items, each as bytes. The list of all tasks of a large Swarm has tens of megabytes: as one text, and
 * as one tree of objects, it would be several times what is kept of it.
 */

export interface ItemSplitter {
  /** The items that end in this chunk, in their order; views of it, so use them before the next one. @throws Error for what is no array of objects. */
  take(chunk: Uint8Array): readonly Buffer[];
  /** @throws Error when the array has not ended. */
  end(): void;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACES: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** Finds borders only: what is between them is for JSON.parse to judge. UTF-8 has none of these bytes inside a character. */
export function createItemSplitter(): ItemSplitter {
  let place: 'before' | 'between' | 'item' | 'after' = 'before';
  let depth = 0;
  let inString = false;
  let isEscaped = false;
  /** The beginning of an item that goes on in the next chunk. */
  let begun: Buffer[] = [];

  /** Returns the position behind the item's last byte, or -1 when it goes on. */
  function endOfItem(chunk: Uint8Array, from: number): number {
    // Locals: over tens of megabytes, variables of the closure would take several times as long.
    let [level, quoted, escaped] = [depth, inString, isEscaped];
    let end = -1;
    for (let at = from; at < chunk.length && end === -1; at += 1) {
      const byte = chunk[at];
      if (escaped) {
        escaped = false;
      } else if (quoted) {
        escaped = byte === BACKSLASH;
        quoted = byte !== QUOTE;
      } else if (byte === QUOTE) {
        quoted = true;
      } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        level += 1;
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
        level -= 1;
        end = level === 0 ? at + 1 : -1;
      }
    }
    depth = level;
    inString = quoted;
    isEscaped = escaped;
    return end;
  }

  /** One byte outside of the items. */
  function step(byte: number): void {
    if (SPACES.has(byte)) {
      return;
    }
    if (place === 'before' && byte === OPEN_ARRAY) {
      place = 'between';
    } else if (place === 'between' && byte === OPEN_OBJECT) {
      place = 'item';
    } else if (place === 'between' && byte === CLOSE_ARRAY) {
      place = 'after';
    } else if (place !== 'between' || byte !== COMMA) {
      throw new Error('expected an array of objects');
    }
  }

  return {
    take(chunk) {
      const items: Buffer[] = [];
      const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      for (let at = 0; at < buffer.length; ) {
        if (place !== 'item') {
          step(buffer[at] ?? 0);
        }
        if (place !== 'item') {
          at += 1;
          continue;
        }
        const end = endOfItem(buffer, at);
        if (end === -1) {
          begun.push(Buffer.from(buffer.subarray(at)));
          break;
        }
        const last = buffer.subarray(at, end);
        items.push(begun.length === 0 ? last : Buffer.concat([...begun, last]));
        begun = [];
        place = 'between';
        at = end;
      }
      return items;
    },
    end() {
      if (place !== 'after') {
        throw new Error(place === 'before' ? 'expected an array' : 'the array does not end');
      }
    },
  };
}

/** Swarm's objects begin so in every Engine we know; of one that does not, nothing is known. */
const HEAD = /^\{"ID":"([^"\\]{1,64})","Version":\{"Index":(\d{1,15})\}/;
const HEAD_BYTES = 128;

/** The id and version of one of Swarm's objects, without reading the rest of it. */
export function headOf(item: Buffer): { readonly id: string; readonly version: number } | undefined {
  const found = HEAD.exec(item.toString('latin1', 0, HEAD_BYTES));
  return found === null ? undefined : { id: found[1] ?? '', version: Number(found[2]) };
}
