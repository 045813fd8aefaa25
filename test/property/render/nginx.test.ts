import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { directive, expression, printNodes } from '../../../src/render/nginx/syntax.ts';
import { DEFAULT_NGINX_OPTIONS, type NginxOptions, type TrustedProxy } from '../../../src/settings/nginx-options.ts';
import { clusterModels } from '../../support/model-arbitraries.ts';
import { checkNginx } from '../../support/nginx.ts';
import { port } from '../../support/render-models.ts';

const renderable: fc.Arbitrary<ClusterModel> = clusterModels.map((model) => ({
  ...model,
  header: { ...model.header, configPath: '/etc/nginx/nginx.conf', listen: { http: port(80), tls: port(443) } },
}));

const optionSets: fc.Arbitrary<NginxOptions> = fc
  .record({
    hideInfoHeaders: fc.boolean(),
    ipHash: fc.boolean(),
    proxyProtocol: fc.boolean(),
    trustedProxies: fc.constantFrom([], ['10.0.0.0/8' as TrustedProxy]),
    publicSslPort: fc.constantFrom(undefined, port(9443)),
    httpVersion: fc.constantFrom('1.0' as const, '1.1' as const),
    upstreamZoneKiB: fc.constantFrom(undefined, 64),
    serverNamesHashBucketSizeBytes: fc.option(fc.integer({ min: 1, max: 65_536 }), { nil: undefined }),
    accessLogPath: fc.constantFrom('off', '/dev/stdout'),
  })
  .map((some) => ({ ...DEFAULT_NGINX_OPTIONS, workerProcesses: 1, ...some }));

const CONTEXT = { serverInfo: 'interlock/test' };

function textOf(model: ClusterModel, options = DEFAULT_NGINX_OPTIONS): string {
  return renderNginx(model, options, CONTEXT)
    .artifact.files.map(({ bytes }) => Buffer.from(bytes).toString())
    .join('');
}

function shuffled(model: ClusterModel): fc.Arbitrary<ClusterModel> {
  const anyOrder = <Item>(items: readonly Item[]) =>
    fc.shuffledSubarray([...items], { minLength: items.length, maxLength: items.length });
  return fc
    .tuple(anyOrder(model.hosts), anyOrder(model.pools))
    .map(([hosts, pools]) => ({ header: model.header, hosts, pools }));
}

describe('the rendered file', () => {
  it('does not depend on the order of hosts and pools', () => {
    fc.assert(
      fc.property(
        renderable.chain((model) => fc.tuple(fc.constant(model), shuffled(model))),
        ([model, other]) => {
          expect(textOf(other)).toBe(textOf(model));
        },
      ),
    );
  });

  it('is plain ASCII with LF line ends, whatever the names are', () => {
    fc.assert(
      fc.property(renderable, (model) => {
        expect(textOf(model)).toMatch(/^[\x20-\x7e\n]*\n$/);
      }),
    );
  });

  it('is accepted by NGINX', async () => {
    await fc.assert(
      fc.asyncProperty(renderable, optionSets, async (model, options) => {
        const { artifact } = renderNginx(model, options, CONTEXT);
        const check = await checkNginx(artifact.files);

        expect(check.output).not.toMatch(/\[(?:emerg|alert|crit|error)\]/);
        expect(check.ok).toBe(true);
      }),
      { numRuns: 40 },
    );
  }, 120_000);
});

const quotable = fc
  .oneof(fc.string(), fc.string({ unit: fc.constantFrom('"', "'", '\\', ';', '{', '}', '#', ' ', 'n', 't', 'a') }))
  .filter((text) => !/\p{Cc}/u.test(text));

describe('quoting', () => {
  it('gives NGINX back what was put in', () => {
    fc.assert(
      fc.property(fc.array(quotable.filter((text) => !text.includes('$'))), (args) => {
        expect(readTokens(printNodes([directive('name', ...args)]))).toEqual(['name', ...args]);
      }),
    );
  });

  it('of expressions too', () => {
    fc.assert(
      fc.property(fc.array(quotable), (args) => {
        expect(readTokens(printNodes([directive('name', ...args.map(expression))]))).toEqual(['name', ...args]);
      }),
    );
  });

  it('refuses what cannot be quoted', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('\n', '\r', '\0', '\t', '\x7f', '$'), fc.string(), (a, bad, b) => {
        expect(() => directive('name', `${a}${bad}${b}`)).toThrow('NGINX cannot quote');
      }),
    );
  });
});

/** One directive as NGINX reads it, after `ngx_conf_read_token` in src/core/ngx_conf_file.c. */
function readTokens(text: string): readonly string[] {
  const tokens: string[] = [];
  let at = 0;
  while (text[at] !== ';') {
    if (text[at] === ' ') {
      at += 1;
      continue;
    }
    const quoteMark = text[at] === '"' || text[at] === "'" ? text[at] : undefined;
    at += quoteMark === undefined ? 0 : 1;
    let token = '';
    while (
      quoteMark === undefined ? text[at] !== ' ' && text[at] !== ';' && text[at] !== '{' : text[at] !== quoteMark
    ) {
      if (at >= text.length) {
        throw new Error(`no end: ${text}`);
      }
      if (text[at] === '\\') {
        const next = text[at + 1] ?? '';
        const meant = { '"': '"', "'": "'", '\\': '\\', t: '\t', r: '\r', n: '\n' }[next];
        token += meant ?? `\\${next}`;
        at += 2;
      } else {
        token += text.charAt(at);
        at += 1;
      }
    }
    at += quoteMark === undefined ? 0 : 1;
    if (quoteMark !== undefined && text[at] !== ' ' && text[at] !== ';') {
      throw new Error(`text after a quote: ${text}`);
    }
    tokens.push(token);
  }
  if (text.slice(at) !== ';\n') {
    throw new Error(`more than one directive: ${text}`);
  }
  return tokens;
}
