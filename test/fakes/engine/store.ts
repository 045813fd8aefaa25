/** The raft store: all objects, one version counter, and who is told about changes. */
import { randomBytes } from 'node:crypto';
import type { RawBlob, RawNetwork, RawNode, RawObject, RawService, RawTask } from './raw.ts';
import type { FakeTime } from './time.ts';

export interface SwarmEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Record<string, string> };
  readonly scope: 'swarm';
  readonly time: number;
  readonly timeNano: number;
}

export interface Store {
  readonly services: Map<string, RawService>;
  readonly tasks: Map<string, RawTask>;
  readonly nodes: Map<string, RawNode>;
  readonly networks: Map<string, RawNetwork>;
  readonly configs: Map<string, RawBlob>;
  readonly secrets: Map<string, RawBlob>;
  readonly listeners: Set<(event: SwarmEvent) => void>;
  index(): number;
  /** A new object's header. */
  born(): RawObject;
  /** Counts the version up, as every write does. */
  touch(object: RawObject): void;
  timestamp(): string;
  /** Task changes have no event: callers never emit one for them. */
  emit(type: string, action: string, id: string, attributes: Record<string, string>): void;
}

export function createStore(time: FakeTime): Store {
  const state = { index: 10, nanos: 0 };
  const listeners = new Set<(event: SwarmEvent) => void>();

  /** Strictly increasing within a millisecond, and without trailing zeros, as Go prints it. */
  function timestamp(): string {
    state.nanos = (state.nanos + 1) % 1_000_000;
    const fraction = String(state.nanos).padStart(6, '0');
    return new Date(time.now()).toISOString().replace('Z', fraction).replace(/0+$/, '').concat('Z');
  }

  return {
    services: new Map(),
    tasks: new Map(),
    nodes: new Map(),
    networks: new Map(),
    configs: new Map(),
    secrets: new Map(),
    listeners,
    index: () => state.index,
    timestamp,
    born() {
      state.index += 1;
      const now = timestamp();
      return { ID: newId(), Version: { Index: state.index }, CreatedAt: now, UpdatedAt: now };
    },
    touch(object) {
      state.index += 1;
      object.Version = { Index: state.index };
      object.UpdatedAt = timestamp();
    },
    emit(type, action, id, attributes) {
      const event: SwarmEvent = {
        Type: type,
        Action: action,
        Actor: { ID: id, Attributes: attributes },
        scope: 'swarm',
        time: Math.floor(time.now() / 1000),
        timeNano: time.now() * 1_000_000,
      };
      for (const listener of [...listeners]) {
        listener(event);
      }
    },
  };
}

/** 25 characters of base 36, as Swarm's. */
export function newId(): string {
  return BigInt(`0x${randomBytes(20).toString('hex')}`)
    .toString(36)
    .padStart(25, '0')
    .slice(0, 25);
}

/** By id, by name, then by an id's unambiguous beginning, as the Engine finds things. */
export function find<Item>(
  items: ReadonlyMap<string, Item>,
  idOrName: string,
  nameOf: (item: Item) => string,
): Item | undefined {
  const exact = items.get(idOrName) ?? [...items.values()].find((item) => nameOf(item) === idOrName);
  const beginnings = [...items].filter(([id]) => idOrName !== '' && id.startsWith(idOrName));
  return exact ?? (beginnings.length === 1 ? beginnings[0]?.[1] : undefined);
}
