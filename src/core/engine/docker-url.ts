/** `DockerURL` -> how dockerode dials it. */
import http from 'node:http';
import https from 'node:https';
import { inspect } from 'node:util';
import type { DockerOptions as DocumentedOptions } from 'dockerode';
import { OperationalError } from '../../runtime/errors.ts';

/** `agent` is the modem's own option; dockerode's types do not name it. */
type DialOptions = DocumentedOptions & { readonly agent?: http.Agent };

/** PEM texts. `allowInsecure` accepts a server certificate that does not verify. */
export interface EngineTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly allowInsecure?: boolean | undefined;
}

/**
 * `unix:///run/docker.sock` or `tcp://host:port` (2375 by default, 2376 with TLS). `http://` and `https://` are read as `tcp://`
 * without and with TLS. The engine's certificate has to be for the host as it is written here.
 * @throws OperationalError SETTINGS.INVALID for anything else.
 */
export function dialOptions(dockerUrl: string, tls: EngineTls | undefined): DialOptions {
  const socketPath = /^unix:\/\/(\/.+)$/.exec(dockerUrl)?.[1];
  if (socketPath !== undefined) {
    return { ...WITHOUT_ENVIRONMENT, socketPath, agent: brieflyPrinted(new http.Agent({ keepAlive: true })) };
  }
  const [, scheme, bracketed, plain, port] =
    /^(tcp|https?):\/\/(?:\[([0-9a-f:.]+)\]|([^/:\s]+))(?::(\d{1,5}))?\/?$/i.exec(dockerUrl) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) {
    throw new OperationalError(
      'SETTINGS.INVALID',
      `DockerURL must be unix:///path or tcp://host:port, not "${dockerUrl}"`,
    );
  }
  return {
    ...WITHOUT_ENVIRONMENT,
    host: bracketed === undefined ? host : `[${host}]`,
    ...overTcp(port, tlsOf(scheme, tls)),
  };
}

/** dockerode lays its options over DOCKER_HOST and its friends; a key that is present but undefined keeps those out. */
const WITHOUT_ENVIRONMENT = {
  host: undefined,
  port: undefined,
  pathPrefix: '/',
  ca: undefined,
  cert: undefined,
  key: undefined,
  timeout: undefined,
  protocol: 'http',
} as unknown as DocumentedOptions; // its type does not allow what `exactOptionalPropertyTypes` calls an explicit undefined

function tlsOf(scheme: string | undefined, tls: EngineTls | undefined): EngineTls | undefined {
  const name = scheme?.toLowerCase();
  return name === 'https' ? (tls ?? {}) : name === 'http' ? undefined : tls;
}

function overTcp(port: string | undefined, tls: EngineTls | undefined): DialOptions {
  if (tls === undefined) {
    return { protocol: 'http', port: port ?? '2375', agent: brieflyPrinted(new http.Agent({ keepAlive: true })) };
  }
  const { ca, cert, key, allowInsecure } = tls;
  const pem = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  const agent = brieflyPrinted(
    new https.Agent({ keepAlive: true, rejectUnauthorized: allowInsecure !== true, ...pem }),
  );
  return { protocol: 'https', port: port ?? '2376', agent, ...pem };
}

/**
 * Before each request the modem prints its options for a debug log, whether or not anybody reads it (docker-modem 5.0.7): all sockets of
 * the agent with all that hangs on them, 70 KB of text and more of core's time than the request itself.
 */
function brieflyPrinted<Agent extends http.Agent>(agent: Agent): Agent {
  Object.defineProperty(agent, inspect.custom, { value: () => 'agent' });
  return agent;
}
