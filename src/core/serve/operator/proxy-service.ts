import type { Service, Snapshot } from '../../../model/snapshot.ts';
import type { Board } from '../../board.ts';

/** A cluster's proxy service. Somebody else's of that name (`PUBLISH.NAME_TAKEN`) is none: its tasks are not ours to tell of. */
export function proxyServiceOf(
  snapshot: Snapshot | undefined,
  board: Pick<Board, 'findings'>,
  serviceName: string,
): Service | undefined {
  const isTaken = board
    .findings()
    .some(({ code, service }) => code === 'PUBLISH.NAME_TAKEN' && service === serviceName);
  return isTaken ? undefined : snapshot?.services.find(({ name }) => name === serviceName);
}
