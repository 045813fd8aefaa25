/** Fitting a file piece by piece is fitting the file, wherever it is cut. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { parseSubnet } from '../../../src/agent/localise/attached.ts';
import { createFitter } from '../../../src/agent/localise/fit.ts';
import { joined, type Piece, pieceOf } from '../../../src/model/artifact.ts';

const home = mkdtempSync(join(tmpdir(), 'interlock-fit-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** In the renderer's form: pools near and far, servers with and without certificates (no secret is mounted here). */
const blocks = fc.oneof(
  fc.record({ at: fc.nat({ max: 99 }), far: fc.boolean() }).map(({ at, far }) => {
    const name = `${String(at).padStart(12, '0')}_pool`;
    return `  upstream ${name} {\n    server ${far ? '192.0.2' : '10.0.1'}.${at}:80 max_fails=3;\n    keepalive 32;\n  }\n`;
  }),
  fc.nat({ max: 99 }).map((at) => {
    const name = `${String(at).padStart(12, '0')}_pool`;
    return `  server {\n    listen 80;\n    server_name h${at};\n    location / {\n      proxy_pass https://${name};\n    }\n  }\n`;
  }),
  fc
    .nat({ max: 3 })
    .map(
      (at) =>
        `  server {\n    listen 443 ssl;\n    server_name t${at};\n    ssl_certificate /run/secrets/c${at};\n    ssl_certificate_key /run/secrets/k${at};\n  }\n`,
    ),
  fc.constant('  proxy_ssl_name $host;\n'),
);
const files = fc.array(blocks, { maxLength: 12 }).map((list) => ['events {}\nhttp {\n', ...list, '}\n']);

function outcomeOf(pieces: readonly Piece[]) {
  const fitter = createFitter({
    secretsDirectory: join(home, 'none'),
    ownDirectory: home,
    attached: () => [parseSubnet('10.0.1.5/24')],
    clock: { now: () => 0 },
  });
  const { pieces: fitted, head, findings } = fitter(pieces);
  return { text: Buffer.from(joined(fitted)).toString(), head, findings, isSame: fitted === pieces };
}

function piecesOf(texts: readonly string[]): readonly Piece[] {
  return texts.map((text) => pieceOf(Buffer.from(text)));
}

describe('a file that is cut', () => {
  it('between blocks is fitted like the whole', () => {
    fc.assert(
      fc.property(files, fc.array(fc.boolean(), { maxLength: 12 }), (texts, cuts) => {
        const pieces = texts.reduce<string[]>((list, text, at) => {
          const last = list.at(-1);
          return last === undefined || cuts[at] ? [...list, text] : [...list.slice(0, -1), last + text];
        }, []);
        expect(outcomeOf(piecesOf(pieces))).toEqual(outcomeOf(piecesOf([texts.join('')])));
      }),
    );
  });

  it('anywhere is fitted like the whole', () => {
    fc.assert(
      fc.property(files, fc.array(fc.nat({ max: 2_000 }), { minLength: 1, maxLength: 4 }), (texts, cuts) => {
        const text = texts.join('');
        const borders = [0, ...cuts.filter((at) => at < text.length).sort((a, b) => a - b), text.length];
        const pieces = borders.slice(1).map((end, at) => text.slice(borders[at], end));
        expect(outcomeOf(piecesOf(pieces))).toEqual(outcomeOf(piecesOf([text])));
      }),
    );
  });
});
