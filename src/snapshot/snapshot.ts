/** Parts -> Snapshot. */
import type { Snapshot } from '../model/snapshot.ts';

export type SnapshotParts = Pick<Snapshot, 'services' | 'tasks' | 'nodes' | 'networks' | 'secrets'>;

/** `observedAtMs` is when the last part was read. Networks carry no version in the Engine's JSON. */
export function buildSnapshot(parts: SnapshotParts, observedAtMs: number): Snapshot {
  const { services, tasks, nodes, networks, secrets } = parts;
  const versionIndex = [services, tasks, nodes, secrets]
    .flat()
    .reduce((highest, part) => Math.max(highest, part.version), 0);
  return { versionIndex, observedAtMs, services, tasks, nodes, networks, secrets };
}
