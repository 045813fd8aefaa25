/** Revisions, pins and tokens for operators arrive as they were sent; anything else is refused as malformed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isOperational } from '../../../src/runtime/errors.ts';
import * as codec from '../../../src/wire/revisions-codec.ts';

const words = fc.string({ unit: 'grapheme', maxLength: 12 });
const digests = fc.stringMatching(/^[0-9a-f]{64}$/);
const counts = fc.maxSafeNat();
const lists = fc.record({ count: counts, names: fc.array(words, { maxLength: 3 }) });
const maybe = <Value>(values: fc.Arbitrary<Value>) => fc.option(values, { nil: undefined });
const pins = fc.record({ revision: counts, digest: digests, sinceMs: counts });
const revisions = fc.record({
  number: counts,
  digest: digests,
  atMs: counts,
  added: lists,
  changed: lists,
  removed: lists,
  served: fc.boolean(),
  live: fc.boolean(),
});
const changes = fc.array(
  fc.record({
    kind: fc.constantFrom('added' as const, 'removed' as const, 'changed' as const),
    host: words,
    path: words,
    service: words,
    options: fc.array(fc.record({ name: words, before: words, after: words }), { maxLength: 2 }),
  }),
  { maxLength: 3 },
);
const cluster = { extension: words, serviceCluster: words };
const asked = maybe(words);

function arrives<Value>(
  name: string,
  values: fc.Arbitrary<Value>,
  encode: (value: Value) => Buffer,
  decode: (bytes: Uint8Array) => Value,
): void {
  it(`${name} arrives as it was sent`, () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(decode(encode(value))).toEqual(value);
      }),
    );
  });
  it(`${name} is refused when its bytes are anything else`, () => {
    fc.assert(
      fc.property(values, fc.uint8Array({ maxLength: 40 }), fc.nat(), (value, noise, at) => {
        const bytes = encode(value);
        const cut = at % (bytes.length + 1);
        const mangled = Buffer.concat([bytes.subarray(0, cut), noise, bytes.subarray(cut + noise.length)]);
        try {
          decode(mangled);
        } catch (error) {
          expect(isOperational(error, 'WIRE.MALFORMED')).toBe(true);
        }
      }),
    );
  });
}

describe('operators', () => {
  arrives(
    'a request for revisions',
    fc.record({ cluster: asked }),
    codec.encodeRevisionsRequest,
    codec.decodeRevisionsRequest,
  );
  arrives(
    'history',
    fc.record({
      clusters: fc.array(
        fc.record({ ...cluster, revisions: fc.array(revisions, { maxLength: 3 }), pin: maybe(pins) }),
        { maxLength: 2 },
      ),
    }),
    codec.encodeRevisionsReport,
    codec.decodeRevisionsReport,
  );
  arrives(
    'a question for a difference',
    fc.record({ cluster: asked, before: words, after: words, models: fc.boolean() }),
    codec.encodeCompareRequest,
    codec.decodeCompareRequest,
  );
  arrives(
    'a difference',
    fc.record({ ...cluster, before: revisions, after: revisions, changes, models: fc.constant(undefined) }),
    codec.encodeCompareReport,
    codec.decodeCompareReport,
  );
  arrives(
    'a rollback',
    fc.record({ cluster: asked, revision: words, dryRun: fc.boolean() }),
    codec.encodeRollbackRequest,
    codec.decodeRollbackRequest,
  );
  arrives(
    'what came of a rollback',
    fc.record({
      ...cluster,
      outcome: fc.constantFrom('pinned' as const, 'would-pin' as const, 'unchanged' as const),
      revision: revisions,
      changes,
    }),
    codec.encodeRollbackReport,
    codec.decodeRollbackReport,
  );
  arrives('an unpin', fc.record({ cluster: asked }), codec.encodeUnpinRequest, codec.decodeUnpinRequest);
  arrives(
    'what came of an unpin',
    fc.record({ ...cluster, was: maybe(pins), changes }),
    codec.encodeUnpinReport,
    codec.decodeUnpinReport,
  );
  arrives(
    'a rotation',
    fc.record({
      extension: words,
      role: fc.constantFrom('' as const, 'extension' as const, 'proxy' as const),
      look: fc.boolean(),
    }),
    codec.encodeRotateRequest,
    codec.decodeRotateRequest,
  );
  arrives(
    'tokens',
    fc.record({
      tokens: fc.array(
        fc.record({
          extension: words,
          role: fc.constantFrom('extension' as const, 'proxy' as const),
          state: fc.constantFrom('making' as const, 'rolling' as const, 'done' as const),
          secret: words,
          older: fc.array(words, { maxLength: 2 }),
          joined: fc.boolean(),
        }),
        { maxLength: 3 },
      ),
    }),
    codec.encodeRotateReport,
    codec.decodeRotateReport,
  );
});
