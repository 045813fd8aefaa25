/** Names in labels to secrets that exist. A secret that does not costs what needs it, and nothing else. */
import type { SecretFile } from './cluster.ts';
import { createFinding, type Finding } from './finding.ts';
import { about, type Member } from './member.ts';
import { parseSecretName, type SecretName } from './names.ts';
import { type Secret, STACK_LABEL } from './snapshot.ts';
import type { SnapshotIndex } from './snapshot-index.ts';

/**
 * The secret as Swarm knows it: by the name as written, else with the stack's prefix, as `docker stack deploy` makes it.
 * `undefined`, and a finding: there is none, or it is one of core's own.
 */
export function resolveSecret(
  index: SnapshotIndex,
  { intent, service }: Member,
  label: 'ssl_cert' | 'ssl_key' | 'ssl_backend_ca',
  name: SecretName,
  findings: Finding[],
): SecretName | undefined {
  const stack = service.labels[STACK_LABEL];
  const names = stack === undefined ? [name] : [name, `${stack}_${name}`];
  const found = names.flatMap((candidate) => index.secrets.get(candidate) ?? []).find((secret) => !isCores(secret));
  if (found !== undefined) {
    return parseSecretName(found.name);
  }
  findings.push(
    createFinding(
      'SECRET.MISSING',
      `There is no Docker secret ${names.map((one) => `"${one}"`).join(' or ')}. Create it, or write a name that \`docker secret ls\` prints.`,
      about(intent, `com.docker.lb.${label}`, name),
    ),
  );
  return undefined;
}

/** A service may not have core's tokens attached as its certificate. */
function isCores(secret: Secret): boolean {
  return secret.labels['type']?.startsWith('com.docker.interlock.') ?? false;
}

/** Where Swarm mounts it in the proxy's container. */
export function secretFile(secret: SecretName): SecretFile {
  return { secret, path: `/run/secrets/${secret}` };
}
