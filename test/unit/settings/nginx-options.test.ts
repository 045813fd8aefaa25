import { describe, expect, it } from 'vitest';
import { keyMetas } from '../../../src/settings/key-table.ts';
import {
  DEFAULT_NGINX_OPTIONS,
  NGINX_SCHEMA,
  type NginxOptions,
  parseNginxOptions,
} from '../../../src/settings/nginx-options.ts';

const PATH = 'Extensions.default.Config';

function optionsOf(raw: Record<string, unknown>): NginxOptions {
  const outcome = parseNginxOptions(raw, PATH);
  if (!outcome.ok) {
    throw new Error(JSON.stringify(outcome.problems));
  }
  return outcome.options;
}

describe('parseNginxOptions', () => {
  it('gives the defaults for an empty and for an absent table', () => {
    expect(optionsOf({})).toEqual(DEFAULT_NGINX_OPTIONS);
    expect(parseNginxOptions(undefined, PATH)).toEqual({ ok: true, options: DEFAULT_NGINX_OPTIONS, findings: [] });
  });

  it('has our answers where the original waits too long or starts too little', () => {
    expect(DEFAULT_NGINX_OPTIONS).toMatchObject({
      connectTimeoutSeconds: 2,
      workerProcesses: 'auto',
      user: undefined,
      pidPath: '/run/nginx.pid',
      rlimitNoFile: 65_535,
      upstreamZoneKiB: undefined,
      sslProtocols: ['TLSv1.2', 'TLSv1.3'],
    });
  });

  it("reads the original's default file without a problem or finding", () => {
    const outcome = parseNginxOptions(
      {
        Version: '',
        HTTPVersion: '1.1',
        User: 'nginx',
        PidPath: '/var/run/proxy.pid',
        MaxConnections: 1024,
        ConnectTimeout: 5,
        SendTimeout: 600,
        ReadTimeout: 600,
        IPHash: false,
        AdminUser: '',
        AdminPass: '',
        SSLOpts: '',
        SSLDefaultDHParam: 1024,
        SSLDefaultDHParamPath: '',
        SSLVerify: 'required',
        WorkerProcesses: 1,
        RLimitNoFile: 65_535,
        SSLCiphers: 'HIGH:!aNULL:!MD5',
        SSLProtocols: 'TLSv1.2',
        HideInfoHeaders: false,
        AccessLogPath: '/dev/stdout',
        ErrorLogPath: '/dev/stdout',
        MainLogFormat: `'$remote_addr - $remote_user [$time_local] "$request" '\n\t\t    '$status $body_bytes_sent';`,
        TraceLogFormat: `'$remote_addr $reqid $msec';`,
        KeepaliveTimeout: '75s',
        ClientMaxBodySize: '32m',
        ClientBodyBufferSize: '8k',
        ClientHeaderBufferSize: '1k',
        LargeClientHeaderBuffers: '4 8k',
        ClientBodyTimeout: '60s',
        UnderscoresInHeaders: false,
        ServerNamesHashBucketSize: 128,
        UpstreamZoneSize: 64,
        GlobalOptions: [],
        HTTPOptions: [],
        TCPOptions: [],
      },
      PATH,
    );
    expect(outcome).toMatchObject({ ok: true, findings: [] });
    expect(outcome.ok && outcome.options).toMatchObject({
      pidPath: '/run/proxy.pid',
      clientMaxBodySize: '32m',
      workerProcesses: 1,
      upstreamZoneKiB: 64,
    });
  });

  it.each<[Record<string, unknown>, Partial<NginxOptions>]>([
    [{ workerprocesses: '4' }, { workerProcesses: 4 }],
    [{ WorkerProcesses: 'auto' }, { workerProcesses: 'auto' }],
    [{ RlimitNoFile: '2048' }, { rlimitNoFile: 2048 }],
    [{ CONNECTTIMEOUT: '7' }, { connectTimeoutSeconds: 7 }],
    [{ ConnectTimeout: '1500ms' }, { connectTimeoutSeconds: 2 }],
    [{ HTTPVersion: 1.1 }, { httpVersion: '1.1' }],
    [{ HideInfoHeaders: 'true' }, { hideInfoHeaders: true }],
    [{ SSLProtocols: 'TLSv1.3, TLSv1.2 TLSv1.2' }, { sslProtocols: ['TLSv1.2', 'TLSv1.3'] }],
    [{ ClientMaxBodySize: 0 }, { clientMaxBodySize: '0' as NginxOptions['clientMaxBodySize'] }],
    [{ UpstreamZoneSize: '64k' }, { upstreamZoneKiB: 64 }],
    [{ UpstreamZoneSize: 0 }, { upstreamZoneKiB: undefined }],
    [{ KeepaliveTimeout: 65 }, { keepaliveTimeoutMs: 65_000 }],
    [{ AccessLogPath: 'off' }, { accessLogPath: 'off' }],
    [{ SSLDefaultDHParamPath: '/run/secrets/dh' }, { sslDhParamPath: '/run/secrets/dh' }],
    [{ SSLDefaultDHParamPath: '/run/secrets/dh', SSLDefaultDHParam: 0 }, { sslDhParamPath: undefined }],
    [{ HTTPOptions: 'gzip on;' }, { httpOptions: ['gzip on;'] }],
  ])('reads %j', (raw, expected) => {
    expect(optionsOf(raw)).toMatchObject(expected);
  });

  it('reads trusted proxies as addresses and networks', () => {
    expect(optionsOf({ TrustedProxies: ['10.0.0.0/8', 'FD00::/8', '192.0.2.1'] }).trustedProxies).toEqual([
      '10.0.0.0/8',
      'fd00::/8',
      '192.0.2.1',
    ]);
  });

  it.each<[string, unknown]>([
    ['HTTPVersion', '3'],
    ['User', 'nginx; daemon on'],
    ['PidPath', '/etc/nginx/nginx.pid'],
    ['PidPath', '/run/../etc/x'],
    ['MaxConnections', 0],
    ['MaxConnections', 'many'],
    ['ConnectTimeout', 0],
    ['ReadTimeout', -1],
    ['WorkerProcesses', 1.5],
    ['SSLCiphers', 'HIGH; ssl_protocols SSLv3'],
    ['SSLCiphers', 'HIGH aNULL'],
    ['SSLProtocols', 'SSLv3'],
    ['SSLProtocols', []],
    ['AccessLogPath', '/dev/stdout main; deny all'],
    ['AccessLogPath', '/var/log/../../etc/passwd'],
    ['ErrorLogPath', 'logs/error.log'],
    ['MainLogFormat', "'$a'; include /etc/passwd;"],
    ['KeepaliveTimeout', '75 seconds'],
    ['ClientMaxBodySize', '32 mb'],
    ['ClientMaxBodySize', -1],
    ['ClientBodyBufferSize', '0'],
    ['LargeClientHeaderBuffers', '8k'],
    ['UnderscoresInHeaders', 'on'],
    ['UpstreamZoneSize', 8],
    ['HTTPOptions', [1]],
    ['HTTPOptions', ['gzip on;\0']],
    ['Port', 70_000],
    ['TrustedProxies', ['10.0.0.0/33']],
    ['TrustedProxies', ['all']],
    ['PublicSSLPort', 'https'],
  ])('refuses %s = %j and names the key', (name, value) => {
    const outcome = parseNginxOptions({ [name]: value }, PATH);
    expect(outcome.ok ? [] : outcome.problems.map(({ path }) => path)).toEqual([`${PATH}.${name}`]);
  });

  it('names all problems at once, with keys as they were written', () => {
    const outcome = parseNginxOptions({ maxconnections: 'x', SSLCIPHERS: ';', TCPOptions: {} }, PATH);
    expect(outcome).toMatchObject({
      ok: false,
      problems: [
        { path: `${PATH}.maxconnections`, found: '"x" (string)', expected: 'a whole number from 1 to 1000000' },
        { path: `${PATH}.SSLCIPHERS` },
        { path: `${PATH}.TCPOptions` },
      ],
    });
  });

  it('names a key that stands there twice in different case', () => {
    const outcome = parseNginxOptions({ Port: 80, port: 81 }, PATH);
    expect(outcome).toMatchObject({
      ok: false,
      problems: [{ path: `${PATH}.port`, found: `the same key as ${PATH}.Port` }],
    });
  });

  it('turns an unknown key into a finding with the nearest name', () => {
    const outcome = parseNginxOptions({ MaxConections: 5, Gzip: true }, PATH);
    expect(outcome).toMatchObject({
      ok: true,
      findings: [
        {
          code: 'SETTINGS.KEY_UNKNOWN',
          subject: `${PATH}.MaxConections`,
          advice: expect.stringContaining('MaxConnections?') as unknown,
        },
        { code: 'SETTINGS.KEY_UNKNOWN', subject: `${PATH}.Gzip` },
      ],
    });
  });

  it('says that a key without effect in the original has none here', () => {
    expect(parseNginxOptions({ AdminPass: 'hunter2' }, PATH)).toMatchObject({
      ok: true,
      findings: [{ code: 'SETTINGS.NOT_IN_EFFECT', subject: `${PATH}.AdminPass`, value: undefined }],
    });
  });

  it("has all 38 keys of the original's, and ours", () => {
    const ours = keyMetas(NGINX_SCHEMA).filter(([, meta]) => meta.ours);
    expect(ours.map(([name]) => name)).toEqual(
      expect.arrayContaining(['ProxyProtocol', 'PublicSSLPort', 'TrustedProxies']),
    );
    expect(Object.keys(NGINX_SCHEMA.shape).length - ours.length).toBe(38);
  });
});
