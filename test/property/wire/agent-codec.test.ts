import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createArtifact, manifestOf, type Piece, type PieceRef, pieceOf } from '../../../src/model/artifact.ts';
import { createFinding } from '../../../src/model/finding.ts';
import type { IpAddress, Port } from '../../../src/model/names.ts';
import { sha256Hex } from '../../../src/model/revision.ts';
import {
  type AgentMessage,
  decodeAgentMessage,
  decodeBlobPiece,
  decodeDirective,
  decodeFetchRequest,
  encodeAgentMessage,
  encodeBlobPiece,
  encodeDirective,
  encodeFetchRequest,
} from '../../../src/wire/agent-codec.ts';
import { assembleBlobs, piecesOf } from '../../../src/wire/blobs.ts';
import type { AgentDirective, AgentOutcome } from '../../../src/wire/contract.ts';
import { BLOB_PIECE_BYTES, MAX_ALONG_BYTES, MAX_PIECES, MAX_UNREACHED } from '../../../src/wire/limits.ts';
import type { AgentMessageMessage } from '../../../src/wire/messages.ts';
import { messageType } from '../../../src/wire/proto.ts';

const digests = fc.stringMatching(/^[0-9a-f]{64}$/);
const ids = fc.stringMatching(/^[A-Za-z0-9._-]{1,30}$/);
const outcomes: fc.Arbitrary<AgentOutcome> = fc.oneof(
  fc.constant({ kind: 'applied' as const }),
  fc.constant({ kind: 'draining' as const }),
  fc.record({ kind: fc.constant('refused' as const), reason: fc.stringMatching(/^[ -~]{0,100}$/) }),
);
const findings = fc.array(
  fc.string({ maxLength: 20 }).map((value) => createFinding('SECRET.EXPIRED', 'Renew it.', { value })),
  { maxLength: 3 },
);
const messages: fc.Arbitrary<AgentMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('hello' as const),
    hello: fc.record({
      taskId: ids,
      nodeId: ids,
      proxyVersion: ids,
      artifactDigest: fc.option(digests, { nil: undefined }),
    }),
  }),
  fc.record({
    kind: fc.constant('report' as const),
    report: fc.record({ artifactDigest: digests, outcome: outcomes, durationMs: fc.nat(), findings }),
  }),
  fc.record({
    kind: fc.constant('unreached' as const),
    report: fc.record({
      unreached: fc.array(
        fc.record({
          address: fc.oneof(fc.ipV4(), fc.constant('fd00::5')).map((text) => text as IpAddress),
          port: fc.integer({ min: 1, max: 65_535 }).map((value) => value as Port),
        }),
        { maxLength: MAX_UNREACHED },
      ),
    }),
  }),
);

describe('what agent and core say to each other', () => {
  it('arrives as it was sent', () => {
    fc.assert(
      fc.property(messages, (message) => {
        expect(decodeAgentMessage(encodeAgentMessage(message))).toEqual(message);
      }),
    );
  });

  it('is cut or refused, never trusted: any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const decode of [decodeAgentMessage, decodeDirective, decodeFetchRequest, decodeBlobPiece]) {
          try {
            decode(bytes);
          } catch (error) {
            expect(error).toMatchObject({ code: 'WIRE.MALFORMED' });
          }
        }
      }),
    );
  });

  it('names a task that is no id by no means', () => {
    for (const taskId of ['', 'a b', 'x\n', 'y'.repeat(129)]) {
      const hello = { taskId, nodeId: '', proxyVersion: '', artifactDigest: undefined };
      expect(() => decodeAgentMessage(encodeAgentMessage({ kind: 'hello', hello }))).toThrow(/taskId/);
    }
  });

  it('names what was not reached by address and port, and by nothing else', () => {
    const one = (address: string, port: number): AgentMessage => ({
      kind: 'unreached',
      report: { unreached: [{ address: address as IpAddress, port: port as Port }] },
    });
    for (const [address, port] of [
      ['demo.local', 80],
      ['10.0.0.1;', 80],
      ['FD00::5', 80],
      ['', 80],
      ['10.0.0.1', 0],
      ['10.0.0.1', 65_536],
    ] as const) {
      expect(() => decodeAgentMessage(encodeAgentMessage(one(address, port)))).toThrow(/addresses\[0\]/);
    }
  });

  it('is cut to 64 addresses by who sends it, and refused with more by who reads it', () => {
    const unreached = Array.from({ length: 100 }, () => ({ address: '10.0.0.1' as IpAddress, port: 80 as Port }));
    const sent = encodeAgentMessage({ kind: 'unreached', report: { unreached } });
    expect(decodeAgentMessage(sent)).toMatchObject({ report: { unreached: { length: MAX_UNREACHED } } });
    const uncut = messageType<AgentMessageMessage>('interlock.v1.AgentMessage').encode({
      unreached: { addresses: unreached },
    });
    expect(() => decodeAgentMessage(uncut)).toThrow(/more than 64/);
  });

  it('says whether core takes word of what was not reached, in each directive', () => {
    expect(decodeDirective(encodeDirective({ kind: 'none', takesUnreached: true }))).toEqual({
      kind: 'none',
      takesUnreached: true,
    });
  });

  it('is a manifest with its revision, or nothing', () => {
    const artifact = createArtifact([{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from('x') }]);
    const revision = { digest: sha256Hex(Buffer.from('r')), sequence: 3, versionIndex: 7, epoch: 'e' };
    const directives: readonly AgentDirective[] = [
      { kind: 'none' },
      { kind: 'serve', revision, manifest: manifestOf(artifact), along: [] },
    ];
    for (const directive of directives) {
      expect(decodeDirective(encodeDirective(directive))).toEqual(directive);
    }
  });
});

describe('a manifest with pieces', () => {
  const revision = { digest: sha256Hex(Buffer.from('r')), sequence: 3, versionIndex: 7, epoch: 'e' };
  const artifact = (texts: readonly string[]) =>
    createArtifact([
      { path: '/etc/nginx/nginx.conf', mode: 0o444, pieces: texts.map((text) => pieceOf(Buffer.from(text))) },
    ]);

  it('arrives as it was sent', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 20 }), fc.nat(20), (texts, from) => {
        const whole = artifact(texts);
        const along = whole.files.flatMap(({ pieces }) => pieces).slice(from);
        const directive = { kind: 'serve', revision, manifest: manifestOf(whole), along } as const;
        expect(decodeDirective(encodeDirective(directive))).toEqual(directive);
      }),
    );
  });

  it.each([
    ['one piece', (pieces: readonly PieceRef[]) => pieces.slice(0, 1)],
    ['sizes that are not the file', (pieces: readonly PieceRef[]) => [...pieces, ...pieces]],
    [
      'too many pieces',
      (pieces: readonly PieceRef[]) => Array.from({ length: MAX_PIECES + 1 }, () => pieces[0] as PieceRef),
    ],
    ['a digest that is none', (pieces: readonly PieceRef[]) => pieces.map((piece) => ({ ...piece, digest: 'x' }))],
  ])('is refused with %s', (_, change) => {
    const { digest, entries } = manifestOf(artifact(['a', 'b']));
    const manifest = { digest, entries: entries.map((entry) => ({ ...entry, pieces: change(entry.pieces ?? []) })) };
    expect(() => decodeDirective(encodeDirective({ kind: 'serve', revision, manifest, along: [] }))).toThrow(/pieces/);
  });

  it('comes without the pieces along that are not what they are called, and without any where they are too many', () => {
    const whole = artifact(['a', 'b', 'c'.repeat(MAX_ALONG_BYTES)]);
    const [a, b, c] = whole.files.flatMap(({ pieces }) => pieces);
    const arrived = (...along: readonly Piece[]) => {
      const directive = decodeDirective(
        encodeDirective({ kind: 'serve', revision, manifest: manifestOf(whole), along }),
      );
      return directive.kind === 'serve' ? directive.along.map(({ digest }) => digest) : undefined;
    };
    expect(arrived({ digest: a?.digest ?? '', bytes: Buffer.from('b') }, b as Piece)).toEqual([b?.digest]);
    expect(arrived({ digest: '', bytes: Buffer.from('b') })).toEqual([]);
    expect(arrived(c as Piece)).toEqual([c?.digest]);
    expect(arrived(a as Piece, c as Piece)).toEqual([]);
  });
});

describe('blobs in pieces', () => {
  const contents = [0, 1, BLOB_PIECE_BYTES, BLOB_PIECE_BYTES + 1, 3 * BLOB_PIECE_BYTES + 7].map((size) => {
    const bytes = Buffer.alloc(size, size % 251);
    return { digest: sha256Hex(bytes), bytes };
  });
  const wanted = contents.map(({ digest }) => digest);

  it('come together again, of every size', () => {
    const assembly = assembleBlobs(decodeFetchRequest(encodeFetchRequest(wanted)));
    for (const piece of piecesOf(contents)) {
      expect(piece.bytes.byteLength).toBeLessThanOrEqual(BLOB_PIECE_BYTES);
      assembly.add(decodeBlobPiece(encodeBlobPiece(piece)));
    }
    const whole = assembly.finish();
    expect(contents.every(({ digest, bytes }) => bytes.equals(whole.get(digest) ?? Buffer.from('none')))).toBe(true);
  });

  it('are refused when one is missing, doubled, damaged or nobody asked for it', () => {
    const pieces = [...piecesOf(contents)];
    const [first] = pieces;
    const stranger = { digest: '0'.repeat(64), bytes: Buffer.from('x') };
    const streams = [pieces.slice(0, -1), [...pieces, ...pieces.slice(-1)], first ? [...pieces.slice(1, -1)] : []];
    for (const stream of streams) {
      const assembly = assembleBlobs(wanted);
      for (const piece of stream) {
        assembly.add(piece);
      }
      expect(() => assembly.finish()).toThrow(/did not arrive whole/);
    }
    expect(() => assembleBlobs(wanted).add(stranger)).toThrow(/nobody asked for/);
  });
});
