/** The methods of the contract that this version serves and calls; those for people are in operator.ts. */
import type { CallerRole } from './contract.ts';
import { bytesMethod } from './proto.ts';

export const METHODS = {
  watchModel: bytesMethod('interlock.v1.Models', 'Watch'),
  submitArtifact: bytesMethod('interlock.v1.Artifacts', 'Submit'),
  refuseRevision: bytesMethod('interlock.v1.Artifacts', 'Refuse'),
  agentSession: bytesMethod('interlock.v1.Agents', 'Session'),
  fetchBlobs: bytesMethod('interlock.v1.Agents', 'FetchBlobs'),
  checkHealth: bytesMethod('grpc.health.v1.Health', 'Check'),
  watchHealth: bytesMethod('grpc.health.v1.Health', 'Watch'),
} as const;

/** Who may make a call of `METHODS`, by its path; the health service is open to all. */
export const ROLE_OF_PATH: ReadonlyMap<string, CallerRole> = new Map([
  [METHODS.watchModel.path, 'extension'],
  [METHODS.submitArtifact.path, 'extension'],
  [METHODS.refuseRevision.path, 'extension'],
  [METHODS.agentSession.path, 'proxy'],
  [METHODS.fetchBlobs.path, 'proxy'],
]);

/** Names for which the health service answers; `''` is the server as a whole. */
export const SERVICE_NAMES: readonly string[] = [
  '',
  'interlock.v1.Models',
  'interlock.v1.Artifacts',
  'interlock.v1.Agents',
  'interlock.v1.Operator',
];
