/** The secrets of mutual TLS in the specs of both services. */
import { describe, expect, it } from 'vitest';
import { lingering } from '../../../../src/core/publish/attachments.ts';
import { clientTlsEnvironment, clientTlsSecrets, missingClientTls } from '../../../../src/core/publish/client-tls.ts';
import { extensionSpec } from '../../../../src/core/publish/desired.ts';
import { extensionSettings } from '../../../support/settings.ts';

const NAMES = { cert: 'c', key: 'k', ca: 'a' };
const SECRETS = new Map([
  ['c', 'id-c'],
  ['k', 'id-k'],
  ['a', 'id-a'],
]);

describe('mutual TLS in a spec', () => {
  it('is three files, and where they are', () => {
    const home = { serviceId: undefined, stack: undefined, controlNetworkIds: [], endpoint: 'c:1', clientTls: NAMES };
    const spec = extensionSpec(extensionSettings(), home, undefined, clientTlsSecrets(NAMES, SECRETS));
    expect(spec).toMatchObject({
      TaskTemplate: {
        ContainerSpec: {
          Env: expect.arrayContaining([
            'INTERLOCK_TLS_CERT=/run/secrets/interlock-grpc-cert',
            'INTERLOCK_TLS_KEY=/run/secrets/interlock-grpc-key',
            'INTERLOCK_TLS_CA=/run/secrets/interlock-grpc-ca',
          ]) as unknown,
          Secrets: [
            { SecretID: 'id-c', SecretName: 'c', File: { Name: 'interlock-grpc-cert' } },
            { SecretID: 'id-k', SecretName: 'k', File: { Name: 'interlock-grpc-key' } },
            { SecretID: 'id-a', SecretName: 'a', File: { Name: 'interlock-grpc-ca' } },
          ],
        },
      },
    });
  });

  it('is nothing at all without it', () => {
    expect([clientTlsSecrets(undefined, SECRETS), clientTlsEnvironment(undefined)]).toEqual([[], []]);
    expect(missingClientTls(undefined, new Map())).toEqual([]);
  });

  it('names each secret that is missing', () => {
    expect(missingClientTls(NAMES, new Map([['k', 'id-k']]))).toMatchObject([
      { code: 'PUBLISH.TLS_SECRET_MISSING', subject: 'GRPC.ClientTLSCert', value: 'c' },
      { code: 'PUBLISH.TLS_SECRET_MISSING', subject: 'GRPC.ClientTLSCACert', value: 'a' },
    ]);
  });

  it('mounts one secret as two files where it is needed twice', () => {
    const asHost = { id: 'id-a', name: 'a', file: 'a' };
    const asCa = { id: 'id-a', name: 'a', file: 'interlock-grpc-ca' };
    const needed = { networkIds: [], secrets: [asCa, asHost] };
    expect(lingering(needed, { networkIds: [], secrets: [asHost] }, new Set()).secrets).toEqual([asHost, asCa]);
  });

  it('takes the new secret where its name has changed', () => {
    const before = { id: 'id-1', name: 'ca-1', file: 'interlock-grpc-ca' };
    const after = { id: 'id-2', name: 'ca-2', file: 'interlock-grpc-ca' };
    const attached = { networkIds: [], secrets: [before] };
    expect(lingering({ networkIds: [], secrets: [after] }, attached, new Set()).secrets).toEqual([after]);
  });
});
