/** Certificates, keys and CAs that proxies hold and cannot use. Agents tell of them as findings of a secret, of no service. Pure. */
import type { HostTls, Pool } from '../../model/cluster.ts';
import type { Finding } from '../../model/finding.ts';
import type { RoutesReport } from '../../wire/swarm-view.ts';
import { bad, note, type Step } from './explanation.ts';

/** Full names of Docker secrets. */
export interface NeededSecrets {
  /** Certificates and keys of hosts. */
  readonly tls: readonly string[];
  /** What services are verified with. */
  readonly authorities: readonly string[];
}

const NO_TLS = /^SECRET\.(?:UNREADABLE|NOT_PEM|KEY_MISMATCH|KEY_ENCRYPTED|KEY_TOO_SMALL)$/;

export function tlsSecrets(tls: HostTls | undefined): readonly string[] {
  return tls?.kind === 'terminate' ? [tls.certificate.secret, ...(tls.key === undefined ? [] : [tls.key.secret])] : [];
}

export function authoritiesOf(pool: Pool | undefined): readonly string[] {
  const tls = pool?.upstreamTls;
  return tls?.kind === 'on' && tls.verify.kind === 'required' && tls.verify.ca !== undefined ? [tls.verify.ca] : [];
}

/** Of all hosts and pools that a service has a part in. */
export function secretsOfService({ clusters }: RoutesReport, service: string): NeededSecrets {
  const parts = clusters.flatMap(({ model: { header, hosts, pools } }) => {
    const own = pools.filter(({ services }) => services.includes(service));
    const isOwn = (id: string | undefined): boolean => own.some((pool) => pool.id === id);
    const tls = [
      ...hosts.filter(({ routes }) => routes.some(({ pool }) => isOwn(pool))).map((host) => host.tls),
      ...(isOwn(header.defaultPool) ? [header.defaultTls] : []),
    ];
    return [{ tls: tls.flatMap(tlsSecrets), authorities: own.flatMap(authoritiesOf) }];
  });
  return { tls: parts.flatMap(({ tls }) => tls), authorities: parts.flatMap(({ authorities }) => authorities) };
}

export function isAboutSecrets({ code, value = '' }: Finding, { tls, authorities }: NeededSecrets): boolean {
  return code.startsWith('SECRET.') && (tls.includes(value) || authorities.includes(value));
}

/** A host that loses TLS still serves plain HTTP. */
export function secretSteps(
  findings: readonly Finding[],
  needed: NeededSecrets,
  about: 'https' | 'http' | 'both',
): readonly Step[] {
  return findings.flatMap(({ code, value = '', advice }) => {
    if (NO_TLS.test(code) && needed.tls.includes(value) && about !== 'http') {
      const say = about === 'https' ? bad : note;
      return [say(`the secret ${value} cannot be used: the TLS handshake is refused`, advice)];
    }
    return code === 'SECRET.CA_UNUSABLE' && needed.authorities.includes(value)
      ? [bad(`the CA in the secret ${value} cannot be used, so the service cannot be verified: 502`, advice)]
      : [];
  });
}
