/**
 * TLS that ends here. The TLS port is NGINX's own listener, or, once a host of the cluster is passed through (`header.tlsHop`), a unix
 * socket behind the `stream` server that reads the SNI; see `passthrough.ts`.
 */
import type { ClusterHeader, ClusterModel, HostTls } from '../../model/cluster.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { directive, type Node } from './syntax.ts';

/** Terminated connections come in here, with the PROXY protocol, when the TLS port belongs to `stream`. */
export const TLS_SOCKET = '/run/interlock-tls.sock';

/** A certificate and its key, as the model's `terminate` names them. */
export type CertificatePair = Pick<Extract<HostTls, { kind: 'terminate' }>, 'certificate' | 'key'>;

/** Does any handshake succeed here? */
export function terminatesTls({ header, hosts }: ClusterModel): boolean {
  return header.defaultTls.kind === 'terminate' || hosts.some(({ tls }) => tls.kind === 'terminate');
}

/** For `http`. Sessions are kept for all workers, and the ticket keys with them, so that a client may resume at any worker. */
export function tlsNodes(options: NginxOptions): readonly Node[] {
  return [
    directive('ssl_protocols', ...options.sslProtocols),
    directive('ssl_ciphers', options.sslCiphers),
    directive('ssl_prefer_server_ciphers', 'on'),
    ...(options.sslDhParamPath === undefined ? [] : [directive('ssl_dhparam', options.sslDhParamPath)]),
    directive('ssl_session_cache', 'shared:tls:10m'),
    directive('ssl_session_timeout', '1h'),
  ];
}

/**
 * The certificate's two lines stand together: an agent that cannot use the pair puts `ssl_reject_handshake on` in their place.
 * HTTP/2 is said per server because in `http` it would also let HTTP/2 without TLS in.
 */
export function certificateNodes({ certificate, key }: CertificatePair): readonly Node[] {
  return [
    directive('http2', 'on'),
    directive('ssl_certificate', certificate.path),
    directive('ssl_certificate_key', (key ?? certificate).path),
  ];
}

/** Who shares a pair may share a server. */
export function pairKey({ certificate, key }: CertificatePair): string {
  return `${certificate.path} ${(key ?? certificate).path}`;
}

/** The TLS port, or the socket behind it. There the PROXY protocol's word for the client counts, and nobody else's. */
export function tlsListen(header: ClusterHeader, options: NginxOptions, ...flags: readonly string[]): readonly Node[] {
  if (!header.tlsHop) {
    return [
      directive('listen', header.listen.tls, 'ssl', ...flags, ...(options.proxyProtocol ? ['proxy_protocol'] : [])),
    ];
  }
  return [
    directive('listen', `unix:${TLS_SOCKET}`, 'ssl', ...flags, 'proxy_protocol'),
    directive('set_real_ip_from', 'unix:'),
    directive('real_ip_header', 'proxy_protocol'),
  ];
}
