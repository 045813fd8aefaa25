/** What extensions and proxies carry to speak mutual TLS with core: three Docker secrets that the operator made. Pure. */
import { createFinding, type Finding } from '../../model/finding.ts';
import type { ClientTlsNames } from '../../settings/core-settings.ts';
import type { MountedSecret } from './attachments.ts';
import { CLIENT_TLS_FILES } from './names.ts';

/** In the order certificate, key, CA; none without TLS. Those that the Swarm lacks are left out. */
export function clientTlsSecrets(
  names: ClientTlsNames | undefined,
  secrets: ReadonlyMap<string, string>,
): readonly MountedSecret[] {
  return entriesOf(names).flatMap(({ name, file }) => {
    const id = secrets.get(name);
    return id === undefined ? [] : [{ id, name, file }];
  });
}

/** For the environment of both services: the daemons look for nothing by themselves. */
export function clientTlsEnvironment(names: ClientTlsNames | undefined): readonly string[] {
  return entriesOf(names).map(({ variable, file }) => `${variable}=/run/secrets/${file}`);
}

/** One for each secret that the Swarm lacks. While there are any, no service is written: one without its certificate is shut out. */
export function missingClientTls(
  names: ClientTlsNames | undefined,
  secrets: ReadonlyMap<string, string>,
): readonly Finding[] {
  return entriesOf(names)
    .filter(({ name }) => !secrets.has(name))
    .map(({ key, name }) =>
      createFinding(
        'PUBLISH.TLS_SECRET_MISSING',
        'The Swarm has no secret of this name: create it, or correct the name in [GRPC].',
        { subject: `GRPC.${key}`, value: name },
      ),
    );
}

function entriesOf(names: ClientTlsNames | undefined) {
  return names === undefined
    ? []
    : [
        { name: names.cert, file: CLIENT_TLS_FILES.cert, variable: 'INTERLOCK_TLS_CERT', key: 'ClientTLSCert' },
        { name: names.key, file: CLIENT_TLS_FILES.key, variable: 'INTERLOCK_TLS_KEY', key: 'ClientTLSKey' },
        { name: names.ca, file: CLIENT_TLS_FILES.ca, variable: 'INTERLOCK_TLS_CA', key: 'ClientTLSCACert' },
      ];
}
