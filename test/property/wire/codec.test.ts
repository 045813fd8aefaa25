import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createArtifact, manifestOf } from '../../../src/model/artifact.ts';
import { FINDINGS, type Finding } from '../../../src/model/finding.ts';
import { applyPatch, diffModels } from '../../../src/model/patch.ts';
import { digestModel, sha256Hex } from '../../../src/model/revision.ts';
import { isOperational } from '../../../src/runtime/errors.ts';
import {
  cutUtf8,
  decodeRefusal,
  decodeSubmission,
  decodeSubmitReply,
  encodeRefusal,
  encodeSubmission,
  encodeSubmitReply,
} from '../../../src/wire/artifact-codec.ts';
import type { ModelMessage, RevisionRef, Submission, SubmitOutcome } from '../../../src/wire/contract.ts';
import {
  decodeModelMessage,
  decodeWatchRequest,
  encodeModelMessage,
  encodeWatchRequest,
} from '../../../src/wire/model-codec.ts';
import {
  decodeRoutesReport,
  decodeRoutesRequest,
  encodeRoutesReport,
  encodeRoutesRequest,
} from '../../../src/wire/routes-codec.ts';
import { decodeServicesReport, decodeServicesRequest, encodeServicesReport } from '../../../src/wire/services-codec.ts';
import { decodeStatusReport, encodeStatusReport } from '../../../src/wire/status-codec.ts';
import type { StatusReport } from '../../../src/wire/status-report.ts';
import type { RoutesReport, ServicesReport } from '../../../src/wire/swarm-view.ts';
import { clusterModels } from '../../support/model-arbitraries.ts';

const digests = fc.string().map((text) => sha256Hex(text));
const words = fc.string({ unit: 'grapheme', maxLength: 30 });
const revisions: fc.Arbitrary<RevisionRef> = fc.record({
  digest: digests,
  sequence: fc.maxSafeNat(),
  versionIndex: fc.maxSafeNat(),
  epoch: fc.stringMatching(/^[a-z0-9]{1,16}$/),
});
const optionalWords = fc.option(words, { nil: undefined });
const findings: fc.Arbitrary<Finding> = fc.record({
  code: fc.constantFrom(...(Object.keys(FINDINGS) as Finding['code'][])),
  severity: fc.constantFrom('info', 'warn', 'error'),
  service: optionalWords,
  serviceCluster: optionalWords,
  subject: optionalWords,
  value: optionalWords,
  advice: words,
});
const artifacts = fc
  .uniqueArray(
    fc.record({
      path: fc.stringMatching(/^(\/[a-z]{1,5}){1,3}$/),
      mode: fc.nat({ max: 0o777 }),
      bytes: fc.uint8Array({ maxLength: 50 }),
    }),
    { minLength: 1, maxLength: 4, selector: ({ path }) => path },
  )
  .map(createArtifact);
const submissions: fc.Arbitrary<Submission> = fc
  .tuple(artifacts, revisions, fc.array(findings, { maxLength: 3 }), fc.boolean())
  .map(([artifact, revision, list, pending]) => ({
    revision,
    manifest: manifestOf(artifact),
    blobs: artifact.files.map(({ bytes }) => ({ digest: sha256Hex(bytes), bytes })),
    findings: list,
    ...(pending ? { checkPending: true } : {}),
  }));

describe('the model stream', () => {
  it('carries a full model unchanged, its digest included', () => {
    fc.assert(
      fc.property(clusterModels, revisions, (model, revision) => {
        const message: ModelMessage = { revision, content: { kind: 'full', model } };
        const arrived = decodeModelMessage(encodeModelMessage(message));
        expect(arrived).toEqual(message);
        expect(arrived.content.kind === 'full' && digestModel(arrived.content.model)).toBe(digestModel(model));
      }),
    );
  });

  it('carries a patch that leads from one model to the other', () => {
    fc.assert(
      fc.property(clusterModels, clusterModels, revisions, (base, next, revision) => {
        const baseDigest = digestModel(base);
        const message: ModelMessage = {
          revision,
          content: { kind: 'patch', baseDigest, patch: diffModels(base, next) },
        };
        const { content } = decodeModelMessage(encodeModelMessage(message));
        expect(content.kind === 'patch' && content.baseDigest).toBe(baseDigest);
        expect(content.kind === 'patch' && applyPatch(base, content.patch)).toEqual(next);
      }),
    );
  });

  it('carries the revision that a caller still holds', () => {
    fc.assert(
      fc.property(fc.option(revisions, { nil: undefined }), (have) => {
        expect(decodeWatchRequest(encodeWatchRequest(have))).toEqual(have);
      }),
    );
  });
});

describe('artifacts', () => {
  it('arrive with their manifest, blobs and findings', () => {
    fc.assert(
      fc.property(submissions, (submission) => {
        const arrived = decodeSubmission(encodeSubmission(submission));
        expect(arrived.manifest).toEqual(submission.manifest);
        expect(arrived.revision).toEqual(submission.revision);
        expect(arrived.findings).toEqual(submission.findings);
        expect(arrived.blobs.map(({ digest, bytes }) => ({ digest, bytes: Uint8Array.from(bytes) }))).toEqual(
          submission.blobs,
        );
      }),
    );
  });

  it('are answered with every outcome', () => {
    const outcomes: fc.Arbitrary<SubmitOutcome> = fc.oneof(
      fc.constant<SubmitOutcome>({ kind: 'accepted' }),
      fc.constant<SubmitOutcome>({ kind: 'superseded' }),
      fc.array(digests, { minLength: 1, maxLength: 3 }).map((blobs): SubmitOutcome => ({ kind: 'missing', blobs })),
    );
    fc.assert(
      fc.property(outcomes, revisions, (outcome, revision) => {
        expect(decodeSubmitReply(encodeSubmitReply(outcome, revision))).toEqual({ outcome, revision });
      }),
    );
  });

  it('are refused with words that are cut to 4 KiB between characters', () => {
    fc.assert(
      fc.property(revisions, fc.string({ unit: 'grapheme', maxLength: 3000 }), (revision, reason) => {
        const arrived = decodeRefusal(encodeRefusal({ revision, reason, findings: [] }));
        expect(reason.startsWith(arrived.reason)).toBe(true);
        expect(Buffer.byteLength(arrived.reason)).toBeGreaterThan(Math.min(Buffer.byteLength(reason), 4096) - 4);
      }),
    );
  });

  it('cuts never inside a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat({ max: 40 }), (text, max) => {
        const cut = cutUtf8(text, max);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(max);
        expect(text.startsWith(cut)).toBe(true);
      }),
    );
  });
});

describe('status', () => {
  it('arrives as it was sent', () => {
    const text = fc.stringMatching(/^[a-z0-9 ]{1,10}$/);
    const times = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
    const reports: fc.Arbitrary<StatusReport> = fc.record({
      version: words,
      epoch: words,
      nowMs: times,
      startedAtMs: times,
      observedAtMs: fc.option(times, { nil: undefined }),
      moving: fc.array(fc.record({ service: words, wanted: fc.nat(), running: fc.nat(), updateState: words }), {
        maxLength: 3,
      }),
      taskFeed: fc.record({ kind: fc.constantFrom('poll', 'watch'), reason: words }),
      clusters: fc.array(
        fc.record({
          extension: words,
          serviceCluster: words,
          published: fc.option(revisions, { nil: undefined }),
          rendered: fc.option(revisions, { nil: undefined }),
          artifactDigest: fc.option(digests, { nil: undefined }),
          proxyConfig: fc.option(text, { nil: undefined }),
          refusedReason: fc.option(text, { nil: undefined }),
          extensionConnected: fc.boolean(),
          extensionService: words,
          proxyService: words,
          renderedAtMs: fc.option(times, { nil: undefined }),
          delivery: fc.option(
            fc.record({
              mode: fc.constantFrom('hitless', 'classic'),
              fallback: fc.option(text, { nil: undefined }),
              pendingNetworks: fc.array(words, { maxLength: 2 }),
              pendingSecrets: fc.array(words, { maxLength: 2 }),
              rolling: fc.boolean(),
              storedConfig: fc.option(text, { nil: undefined }),
            }),
            { nil: undefined },
          ),
          pinned: fc.option(fc.record({ revision: fc.nat(), digest: digests, sinceMs: times }), { nil: undefined }),
          proxies: fc.array(
            fc.record({
              taskId: words,
              nodeId: words,
              node: words,
              state: words,
              desiredState: words,
              connected: fc.boolean(),
              appliedAtMs: fc.option(times, { nil: undefined }),
              artifactDigest: fc.option(digests, { nil: undefined }),
              refused: fc.option(fc.record({ artifactDigest: digests, reason: words }), { nil: undefined }),
            }),
            { maxLength: 3 },
          ),
        }),
        { maxLength: 3 },
      ),
      findings: fc.array(findings, { maxLength: 3 }),
    });
    fc.assert(
      fc.property(reports, (report) => {
        expect(decodeStatusReport(encodeStatusReport(report))).toEqual(report);
      }),
    );
  });
});

describe('what operators are told of services and routes', () => {
  it('arrives as it was sent', () => {
    const texts = fc.dictionary(words, words, { maxKeys: 3 }).map((table) => ({ ...table }));
    const services: fc.Arbitrary<ServicesReport> = fc.record({
      services: fc.array(
        fc.record({
          id: words,
          name: words,
          labels: texts,
          containerLabels: texts,
          reading: fc.constantFrom('none', 'routed', 'unusable'),
          serviceCluster: words,
          hosts: fc.array(words, { maxLength: 2 }),
          wanted: fc.nat(),
          updateState: words,
          networks: fc.array(words, { maxLength: 2 }),
          tasks: fc.array(
            fc.record({
              id: words,
              nodeId: words,
              node: words,
              state: words,
              desiredState: words,
              error: fc.option(fc.stringMatching(/^[a-z ]{1,10}$/), { nil: undefined }),
              updatedAt: words,
            }),
            { maxLength: 2 },
          ),
        }),
        { maxLength: 2 },
      ),
      similar: fc.array(words, { maxLength: 2 }),
    });
    fc.assert(
      fc.property(services, (report) => {
        expect(decodeServicesReport(encodeServicesReport(report))).toEqual(report);
      }),
    );
    const routes: fc.Arbitrary<RoutesReport> = fc.record({
      clusters: fc.array(fc.record({ revision: revisions, model: clusterModels }), { maxLength: 2 }),
      nodes: fc.array(fc.record({ id: words, hostname: words, state: words }), { maxLength: 2 }),
    });
    fc.assert(
      fc.property(routes, (report) => {
        expect(decodeRoutesReport(encodeRoutesReport(report))).toEqual(report);
      }),
    );
    for (const serviceCluster of [undefined, '', 'prod']) {
      expect(decodeRoutesRequest(encodeRoutesRequest({ serviceCluster }))).toEqual({ serviceCluster });
    }
  });
});

describe('the door', () => {
  const decoders = [
    decodeRoutesRequest,
    decodeRoutesReport,
    decodeServicesRequest,
    decodeServicesReport,
    decodeModelMessage,
    decodeWatchRequest,
    decodeSubmission,
    decodeSubmitReply,
    decodeRefusal,
    decodeStatusReport,
  ];

  it('answers any bytes with a value or WIRE.MALFORMED', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const decode of decoders) {
          expectValueOrMalformed(() => decode(bytes));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('answers a damaged message with a value or WIRE.MALFORMED', () => {
    fc.assert(
      fc.property(clusterModels, revisions, fc.nat(), fc.nat({ max: 255 }), (model, revision, position, value) => {
        const bytes = encodeModelMessage({ revision, content: { kind: 'full', model } });
        bytes[position % bytes.length] = value;
        expectValueOrMalformed(() => decodeModelMessage(bytes));
        expectValueOrMalformed(() => decodeModelMessage(bytes.subarray(0, position % bytes.length)));
      }),
      { numRuns: 300 },
    );
  });
});

function expectValueOrMalformed(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    expect(isOperational(error, 'WIRE.MALFORMED'), String(error)).toBe(true);
  }
}
