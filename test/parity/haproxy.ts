/** `[Extensions.<name>.Config]` of the original's HAProxy extension, by the one page that ever described it. */
import { inFile, proven, type Row } from './proof.ts';

export const HAPROXY_KEYS = [
  'PidPath',
  'MaxConnections',
  'ConnectTimeout',
  'ClientTimeout',
  'ServerTimeout',
  'AdminUser',
  'AdminPass',
  'SSLOpts',
  'SSLDefaultDHParam',
  'SSLVerify',
  'SSLCiphers',
  'SSLProtocols',
  'GlobalOptions',
  'DefaultOptions',
] as const;
export type HaproxyKey = (typeof HAPROXY_KEYS)[number];

/** Those that the NGINX extension does not have. */
export const HAPROXY_ONLY = [
  'ClientTimeout',
  'ServerTimeout',
  'DefaultOptions',
] as const satisfies readonly HaproxyKey[];

const TITLE = 'keys that the NGINX extension has too are read as its own; the rest are findings, each by its name';

const NO_SUCH = 'there is no such extension yet, says one finding: %s';

export const HAPROXY_ROWS = Object.fromEntries(
  HAPROXY_KEYS.map((key): [HaproxyKey, Row] => [key, rowOf(key)]),
) as Readonly<Record<HaproxyKey, Row>>; // one entry for each key of the list

function rowOf(key: HaproxyKey): Row {
  const only: readonly HaproxyKey[] = HAPROXY_ONLY;
  const proof = inFile('unit/parity-gaps/haproxy-keys', TITLE);
  return only.includes(key)
    ? proven(
        [proof, inFile('unit/parity-gaps/haproxy-keys', NO_SUCH)],
        'Ignored, with the finding `SETTINGS.KEY_UNKNOWN`: the NGINX extension has no such key. `SETTINGS.NO_SUCH_EXTENSION` says once that there is no HAProxy extension yet.',
      )
    : proven([proof]);
}
