/** A file in pieces, from the hands of a core that forgets, lies, or is old. */
import { describe, expect, it } from 'vitest';
import { createFetcher } from '../../../src/agent/delivery/fetch.ts';
import { createArtifact, joined, type Manifest, manifestOf, pieceOf } from '../../../src/model/artifact.ts';
import { OperationalError } from '../../../src/runtime/errors.ts';

const PATH = '/etc/nginx/nginx.conf';
const { signal } = new AbortController();

function fileOf(...texts: readonly string[]) {
  return createArtifact([{ path: PATH, mode: 0o444, pieces: texts.map((text) => pieceOf(Buffer.from(text))) }]);
}

/** Holds these artifacts, as core does, and notes what it is asked for. */
function coreWith(...artifacts: readonly ReturnType<typeof fileOf>[]) {
  const asked: (readonly string[])[] = [];
  const held = new Map(
    artifacts.flatMap((artifact) => [
      ...artifact.files.flatMap(({ pieces }) => pieces.map(({ digest, bytes }) => [digest, bytes] as const)),
      ...manifestOf(artifact).entries.map(
        ({ blob }, at) => [blob, artifact.files[at]?.bytes ?? Buffer.alloc(0)] as const,
      ),
    ]),
  );
  return {
    asked,
    texts: () => asked.map((digests) => digests.map((digest) => Buffer.from(held.get(digest) ?? []).toString())),
    forget: (digest: string) => held.delete(digest),
    client: {
      async fetchBlobs(digests: readonly string[]) {
        asked.push(digests);
        return new Map(
          digests.map((digest) => {
            const bytes = held.get(digest);
            if (bytes === undefined) {
              throw new OperationalError('WIRE.REFUSED', 'not found');
            }
            return [digest, bytes] as const;
          }),
        );
      },
    },
  };
}

function order(manifest: Manifest, ...along: readonly string[]) {
  return { manifest, along: along.map((text) => pieceOf(Buffer.from(text))) };
}

function textOf({ pieces }: { readonly pieces: Parameters<typeof joined>[0] }): string {
  return Buffer.from(joined(pieces)).toString();
}

describe('a file in pieces', () => {
  it('is asked for once, and the next one only for what is new in it', async () => {
    const [one, two] = [fileOf('head\n', 'a\n', 'b\n'), fileOf('head\n', 'A\n', 'b\n')];
    const core = coreWith(one, two);
    const fetcher = createFetcher(core.client, PATH);
    const first = await fetcher.fetch(order(manifestOf(one)), signal);
    const second = await fetcher.fetch(order(manifestOf(two)), signal);
    expect([textOf(first), textOf(second)]).toEqual(['head\na\nb\n', 'head\nA\nb\n']);
    expect(core.texts()).toEqual([['head\n', 'a\n', 'b\n'], ['A\n']]);
    expect(second.pieces[2]).toBe(first.pieces[2]);
    expect(await fetcher.fetch(order(manifestOf(one)), signal)).toEqual(first);
    expect(core.asked).toHaveLength(2);
  });

  it('may hold the same piece twice', async () => {
    const twice = fileOf('same\n', 'other\n', 'same\n');
    const core = coreWith(twice);
    const fetched = await createFetcher(core.client, PATH).fetch(order(manifestOf(twice)), signal);
    expect(textOf(fetched)).toBe('same\nother\nsame\n');
    expect(core.texts()).toEqual([['same\n', 'other\n']]);
  });

  it('is not served when one piece cannot be had, and the next one is', async () => {
    const [one, two, three] = [fileOf('head\n', 'a\n'), fileOf('head\n', 'lost\n'), fileOf('head\n', 'c\n')];
    const core = coreWith(one, two, three);
    const fetcher = createFetcher(core.client, PATH);
    await fetcher.fetch(order(manifestOf(one)), signal);
    core.forget(two.files[0]?.pieces[1]?.digest ?? '');
    await expect(fetcher.fetch(order(manifestOf(two)), signal)).rejects.toMatchObject({ code: 'WIRE.REFUSED' });
    expect(textOf(await fetcher.fetch(order(manifestOf(three)), signal))).toBe('head\nc\n');
    expect(core.texts().at(-1)).toEqual(['c\n']);
  });

  it.each([
    ['a piece of another generation in its place', ['head\n', 'a\n']],
    ['its pieces in another order', ['B\n', 'head\n']],
    ['a piece too few', ['head\n']],
  ])('is not served with %s', async (_, texts) => {
    const [one, two] = [fileOf('head\n', 'a\n'), fileOf('head\n', 'B\n')];
    const core = coreWith(one, two);
    const fetcher = createFetcher(core.client, PATH);
    await fetcher.fetch(order(manifestOf(one)), signal);
    const [entry] = manifestOf(two).entries;
    const pieces = texts.map((text) => pieceOf(Buffer.from(text))).map(({ digest }) => ({ digest, sizeBytes: 2 }));
    const lie = { digest: two.digest, entries: [{ ...entry, pieces }] } as Manifest;
    await expect(fetcher.fetch(order(lie), signal)).rejects.toMatchObject({ code: 'WIRE.MALFORMED' });
    expect(textOf(await fetcher.fetch(order(manifestOf(two)), signal))).toBe('head\nB\n');
  });

  it('is one piece for a core that knows of no pieces', async () => {
    const one = fileOf('head\n', 'a\n');
    const core = coreWith(one);
    const { digest, entries } = manifestOf(one);
    const old = { digest, entries: entries.map((entry) => ({ ...entry, pieces: undefined })) };
    expect(textOf(await createFetcher(core.client, PATH).fetch(order(old), signal))).toBe('head\na\n');
    expect(core.texts()).toEqual([['head\na\n']]);
  });

  it('may be empty', async () => {
    const empty = createArtifact([{ path: PATH, mode: 0o444, bytes: Buffer.alloc(0) }]);
    const fetched = await createFetcher(coreWith(empty).client, PATH).fetch(order(manifestOf(empty)), signal);
    expect(textOf(fetched)).toBe('');
  });
});

describe('pieces that come along', () => {
  const [one, two, three] = [fileOf('head\n', 'a\n'), fileOf('head\n', 'B\n', 'c\n'), fileOf('C\n', 'c\n')];

  it('are not asked for, and neither is what they leave out of what is at hand', async () => {
    const core = coreWith(one, two, three);
    const fetcher = createFetcher(core.client, PATH);
    await fetcher.fetch(order(manifestOf(one)), signal);
    expect(textOf(await fetcher.fetch(order(manifestOf(two), 'B\n', 'c\n'), signal))).toBe('head\nB\nc\n');
    expect(textOf(await fetcher.fetch(order(manifestOf(three), 'C\n'), signal))).toBe('C\nc\n');
    expect(core.texts()).toEqual([['head\n', 'a\n']]);
  });

  it('need not be all: the rest is asked for', async () => {
    const core = coreWith(one, two);
    const fetcher = createFetcher(core.client, PATH);
    expect(textOf(await fetcher.fetch(order(manifestOf(two), 'c\n'), signal))).toBe('head\nB\nc\n');
    expect(core.texts()).toEqual([['head\n', 'B\n']]);
  });

  it('change nothing when they belong to another file', async () => {
    const core = coreWith(one, two);
    const fetcher = createFetcher(core.client, PATH);
    expect(textOf(await fetcher.fetch(order(manifestOf(one), 'B\n', 'x\n'), signal))).toBe('head\na\n');
    expect(core.texts()).toEqual([['head\n', 'a\n']]);
  });

  it('do not hold the message that they came in', async () => {
    const message = Buffer.from('....C\n....c\n');
    const along = [message.subarray(4, 6), message.subarray(10)].map(pieceOf);
    const { pieces } = await createFetcher(coreWith().client, PATH).fetch(
      { manifest: manifestOf(three), along },
      signal,
    );
    message.fill('x');
    expect(textOf({ pieces })).toBe('C\nc\n');
  });
});

describe('the mounted file', () => {
  it("is cut as core cuts it, so that core's next one costs what is new in it", async () => {
    const [mounted, next] = [fileOf('head\n', 'a\n', 'b\n'), fileOf('head\n', 'A\n', 'b\n')];
    const core = coreWith(mounted, next);
    const fetcher = createFetcher(core.client, PATH);
    fetcher.hold(manifestOf(mounted).entries[0]?.blob ?? '', Buffer.from('head\na\nb\n'));
    fetcher.learn(manifestOf(mounted));
    expect(textOf(await fetcher.fetch(order(manifestOf(next)), signal))).toBe('head\nA\nb\n');
    expect(core.texts()).toEqual([['A\n']]);
  });

  it('is what it is, whatever pieces core says it has', async () => {
    const mounted = fileOf('head\n', 'a\n');
    const core = coreWith();
    const fetcher = createFetcher(core.client, PATH);
    const [entry] = manifestOf(mounted).entries;
    fetcher.hold(entry?.blob ?? '', Buffer.from('head\na\n'));
    const pieces = [entry?.pieces?.[1], entry?.pieces?.[0]];
    const lie = { digest: mounted.digest, entries: [{ ...entry, pieces }] } as Manifest;
    expect(textOf(await fetcher.fetch(order(lie), signal))).toBe('head\na\n');
    expect(core.asked).toEqual([]);
  });
});
