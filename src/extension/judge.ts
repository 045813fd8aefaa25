/**
 * Model -> verdict: rendered and checked, or refused with a reason. Remembers what NGINX said, so it is asked once about one file.
 *
 *   model, less what is known to be refused
 *     few entries changed since a whole passed --> quick check of a skeleton --passes--> usable, pending: `confirm` asks about the whole
 *     else, or quick check failed -------------> check of the whole --passes--> usable
 *                                                     \--fails--> bisect --> usable without the offenders, or refused
 */
import type { ConfigArtifact } from '../model/artifact.ts';
import type { ClusterHeader, ClusterModel } from '../model/cluster.ts';
import { createFinding, type Finding } from '../model/finding.ts';
import { canonicalJson, sha256Hex } from '../model/revision.ts';
import { assertNever } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import type { NginxOptions } from '../settings/nginx-options.ts';
import type { FollowedModel } from '../wire/follow.ts';
import { bisect, type Offender } from './bisect.ts';
import type { Check, CheckOutcome } from './check.ts';
import { configPathOf, type Draft, draftOf, optionsOf, type Render } from './draft.ts';
import { createLeftOutMemory } from './left-out.ts';
import { blameRawLines, hasRawLines, type RawBlame, withoutRawLines } from './raw-blame.ts';
import { skeletonOf } from './skeleton.ts';
import { nameOf, restrictTo, type Unit, unitsOf } from './units.ts';

export type Verdict =
  | {
      readonly kind: 'usable';
      readonly artifact: ConfigArtifact;
      readonly findings: readonly Finding[];
      /** Only the changed part was checked so far. */
      readonly pending: boolean;
    }
  | { readonly kind: 'refused'; readonly reason: string; readonly findings: readonly Finding[] };

export interface Judge {
  /** As quick as may be: the verdict may be pending. Throws the signal's reason when it aborts, and nothing else. */
  judge(followed: FollowedModel, signal: AbortSignal): Promise<Verdict>;
  /** About the whole; never pending. May run beside `judge`. Throws like it. */
  confirm(followed: FollowedModel, signal: AbortSignal): Promise<Verdict>;
}

export interface JudgeParts {
  readonly render: Render;
  readonly check: Check;
  readonly serverInfo: string;
  readonly logger: Logger;
}

/** What one model is judged with. */
interface Scene {
  readonly model: ClusterModel;
  readonly options: NginxOptions;
  readonly findings: readonly Finding[];
  /** Stands for everything that all services share. */
  readonly base: string;
  readonly ask: (model: ClusterModel, options?: NginxOptions) => Promise<Answer>;
}

/** What came of rendering a model and asking NGINX about the file. */
interface Answer {
  readonly outcome: CheckOutcome;
  readonly draft: Draft;
}

export function createJudge({ render, check, serverInfo, logger }: JudgeParts): Judge {
  const askNginx = createNginxMemory(check, logger);
  const leftOut = createLeftOutMemory();
  const bugs = createBugLog(logger);
  let passed: { readonly base: string; readonly model: ClusterModel } | undefined;
  let last: { readonly revision: string; readonly verdict: Verdict } | undefined;

  function sceneOf(
    model: ClusterModel,
    options: NginxOptions,
    findings: readonly Finding[],
    signal: AbortSignal,
  ): Scene {
    const draftWith = (part: ClusterModel, with_: NginxOptions) => draftOf(part, with_, render, serverInfo);
    return {
      model,
      options,
      findings,
      base: sha256Hex(canonicalJson({ ...model.header, defaultPool: undefined, defaultTls: undefined })),
      async ask(part, changed = options) {
        const draft = draftWith(part, changed);
        if (draft.kind === 'broken') {
          bugs.note(draft.bug);
          return { draft, outcome: { kind: 'failed', words: `rendering failed: ${draft.bug.message}` } };
        }
        return { draft, outcome: await askNginx(draft.artifact, part.header.configPath, signal) };
      },
    };
  }

  /** Units are made only when something is left out: it costs a walk over the whole model. */
  function recall({ model, base }: Scene) {
    if (leftOut.isEmpty) {
      return { shown: model, offenders: [], doubtful: [] };
    }
    const units = unitsOf(model);
    const { offenders, doubtful } = leftOut.recall(base, units);
    return { shown: restricted(model, units, offenders), offenders, doubtful };
  }

  async function judgeQuickly(scene: Scene): Promise<Verdict | undefined> {
    const { shown, offenders } = recall(scene);
    const skeleton = passed?.base === scene.base ? skeletonOf(passed.model, shown) : undefined;
    if (skeleton === undefined) {
      return undefined;
    }
    // The whole is rendered while NGINX looks at the part, in a process of its own that has been started when `ask` returns.
    const asking = scene.ask(skeleton);
    const draft = draftOf(shown, scene.options, render, serverInfo);
    if ((await asking).outcome.kind !== 'passed') {
      return undefined;
    }
    return draft.kind === 'broken' ? undefined : usable(draft, scene, offenders, true);
  }

  async function judgeWhole(scene: Scene): Promise<Verdict> {
    const { shown, offenders, doubtful } = recall(scene);
    const { outcome, draft } = await scene.ask(shown);
    switch (outcome.kind) {
      case 'passed':
        passed = { base: scene.base, model: shown };
        return (await takeBack(scene, offenders, doubtful)) ?? usable(draft, scene, offenders, false);
      case 'unavailable':
        return usable(draft, scene, offenders, false);
      case 'unfinished':
        return refused(outcome.words, scene, []);
      case 'failed':
        return search(scene, outcome.words, offenders);
      default:
        return assertNever(outcome);
    }
  }

  /** Those that were refused only beside others, once the others have changed. */
  async function takeBack(
    scene: Scene,
    offenders: readonly Offender[],
    doubtful: readonly Offender[],
  ): Promise<Verdict | undefined> {
    if (doubtful.length === 0) {
      return undefined;
    }
    const units = unitsOf(scene.model);
    const still = offenders.filter((offender) => !doubtful.includes(offender));
    const whole = restricted(scene.model, units, still);
    const { outcome, draft } = await scene.ask(whole);
    if (outcome.kind === 'passed') {
      return settled(scene, units, still, draft);
    }
    leftOut.learn(scene.base, offenders, without(units, offenders));
    return undefined;
  }

  async function search(scene: Scene, words: string, known: readonly Offender[]): Promise<Verdict> {
    const all = unitsOf(scene.model);
    const units = without(all, known);
    const found = await bisect(units, async (part) => (await scene.ask(restrictTo(scene.model, part))).outcome, {
      trusted: trustedOf(units, scene),
    });
    if (found.kind === 'base') {
      return refused(words, scene, await rawFindings(scene, restrictTo(scene.model, [])));
    }
    const offenders = [...known, ...found.offenders];
    if (found.kind === 'unfinished') {
      leftOut.learn(scene.base, offenders, []);
      return refused(
        found.words,
        scene,
        offenders.map((offender) => findingOf(offender, scene.model.header)),
      );
    }
    if (found.kept.length === 0 && units.length > 1) {
      // Every one of them: then it is not their labels. What keeps serving is better than no route at all.
      return refused(words, scene, await rawFindings(scene, restrictTo(scene.model, units)));
    }
    const { draft } = await scene.ask(restrictTo(scene.model, found.kept));
    return settled(scene, all, offenders, draft);
  }

  function trustedOf(units: readonly Unit[], { base }: Scene): ReadonlySet<Unit> {
    const digests = new Set(passed?.base === base ? unitsOf(passed.model).map(({ digest }) => digest) : []);
    return new Set(units.filter(({ digest }) => digests.has(digest)));
  }

  async function rawFindings(scene: Scene, part: ClusterModel): Promise<readonly Finding[]> {
    if (!hasRawLines(scene.options)) {
      return [];
    }
    const { outcome, draft } = await scene.ask(part);
    if (
      outcome.kind !== 'failed' ||
      (await scene.ask(part, withoutRawLines(scene.options))).outcome.kind === 'failed'
    ) {
      return [];
    }
    const text = draft.kind === 'rendered' ? textOf(draft.artifact) : '';
    const tryOptions = async (options: NginxOptions) => (await scene.ask(part, options)).outcome;
    const blamed = await blameRawLines(scene.options, tryOptions, { words: outcome.words, text });
    return blamed.map((blame) => rawFinding(blame, outcome.words, scene.model.header));
  }

  function settled(scene: Scene, units: readonly Unit[], offenders: readonly Offender[], draft: Draft): Verdict {
    const kept = without(units, offenders);
    leftOut.learn(scene.base, offenders, kept);
    passed = { base: scene.base, model: restrictTo(scene.model, kept) };
    return usable(draft, scene, offenders, false);
  }

  async function decide(
    { revision, model }: FollowedModel,
    signal: AbortSignal,
    how: (scene: Scene) => Promise<Verdict>,
  ): Promise<Verdict> {
    const read = optionsOf(model.header);
    if (read.kind === 'unusable') {
      return { kind: 'refused', reason: read.reason, findings: read.findings };
    }
    const verdict = await how(sceneOf(model, read.options, read.findings, signal));
    last = { revision: revision.digest, verdict };
    return verdict;
  }

  return {
    async judge(followed, signal) {
      if (last?.revision === followed.revision.digest && last.verdict.kind === 'usable') {
        return last.verdict;
      }
      return decide(followed, signal, async (scene) => (await judgeQuickly(scene)) ?? judgeWhole(scene));
    },
    confirm: (followed, signal) => decide(followed, signal, judgeWhole),
  };
}

function without(units: readonly Unit[], offenders: readonly Offender[]): readonly Unit[] {
  const gone = new Set(offenders.map(({ unit }) => unit.digest));
  return units.filter(({ digest }) => !gone.has(digest));
}

/** The model itself when nothing is left out. */
function restricted(model: ClusterModel, units: readonly Unit[], offenders: readonly Offender[]): ClusterModel {
  return offenders.length === 0 ? model : restrictTo(model, without(units, offenders));
}

function usable(draft: Draft, { findings, model }: Scene, offenders: readonly Offender[], pending: boolean): Verdict {
  if (draft.kind === 'broken') {
    return { kind: 'refused', reason: `rendering failed: ${draft.bug.message}`, findings };
  }
  const ofOffenders = offenders.map((offender) => findingOf(offender, model.header));
  return {
    kind: 'usable',
    artifact: draft.artifact,
    findings: [...findings, ...draft.findings, ...ofOffenders],
    pending,
  };
}

/** `findings` say why, if anything more than NGINX's words is known. */
function refused(words: string, scene: Scene, findings: readonly Finding[]): Verdict {
  const { serviceCluster } = scene.model.header;
  const advice = `NGINX refuses the rendered file: ${firstComplaint(words)}`;
  const why = findings.length > 0 ? findings : [createFinding('RENDER.CHECK_FAILED', advice, { serviceCluster })];
  return { kind: 'refused', reason: words, findings: [...scene.findings, ...why] };
}

function findingOf({ unit, words, fails }: Offender, { serviceCluster }: ClusterHeader): Finding {
  const beside = fails === 'alone' ? '' : ' together with the other services of this cluster';
  const others = unit.services.length > 1 ? ` It shares a route with ${unit.services.slice(1).join(', ')}.` : '';
  const advice = `NGINX refuses what its labels ask for${beside}: ${firstComplaint(words)}.${others} Change its labels.`;
  const [service] = unit.services;
  return createFinding('RENDER.SERVICE_LEFT_OUT', advice, {
    serviceCluster,
    ...(service === undefined ? { subject: nameOf(unit) } : { service }),
  });
}

function rawFinding({ key, lines }: RawBlame, words: string, header: ClusterHeader): Finding {
  const advice = `NGINX refuses these lines of yours: ${firstComplaint(words)}. Correct or remove them.`;
  const subject = `${configPathOf(header)}.${key}`;
  return createFinding('RENDER.CHECK_FAILED', advice, {
    serviceCluster: header.serviceCluster,
    subject,
    value: lines,
  });
}

/** The line that stopped NGINX; warnings may come before it. */
function firstComplaint(words: string): string {
  const lines = words.split('\n');
  return lines.find((line) => /\[(?:emerg|alert|crit)\]/.test(line)) ?? lines[0] ?? '';
}

function textOf({ files }: ConfigArtifact): string {
  return files.map(({ bytes }) => Buffer.from(bytes).toString()).join('');
}

/** What NGINX said for good about an artifact. */
type Known = Extract<CheckOutcome, { kind: 'passed' | 'failed' }>;

/** A cluster that goes back and forth between a few states asks again for none of them. */
const REMEMBERED_ARTIFACTS = 64;

type AskNginx = (artifact: ConfigArtifact, mainPath: string, signal: AbortSignal) => Promise<CheckOutcome>;

function createNginxMemory(check: Check, logger: Logger): AskNginx {
  const known = new Map<string, Known>();
  const log = createNginxLog(logger);
  return async (artifact, mainPath, signal) => {
    const before = known.get(artifact.digest);
    if (before !== undefined) {
      return before;
    }
    const outcome = await check(artifact.files, mainPath, signal);
    log.note(outcome);
    if (outcome.kind === 'passed' || outcome.kind === 'failed') {
      known.set(artifact.digest, outcome);
      const [oldest] = known.keys();
      if (known.size > REMEMBERED_ARTIFACTS && oldest !== undefined) {
        known.delete(oldest);
      }
    }
    return outcome;
  };
}

/** One warning when NGINX cannot be asked, one line when it can again. */
function createNginxLog(logger: Logger): { note(outcome: CheckOutcome): void } {
  let state: 'available' | 'unavailable' = 'available';
  return {
    note(outcome) {
      const now = outcome.kind === 'unavailable' ? 'unavailable' : 'available';
      if (now === state) {
        return;
      }
      state = now;
      if (outcome.kind === 'unavailable') {
        logger.warn({ why: outcome.why }, 'files go out unchecked: NGINX cannot be asked');
      } else {
        logger.info('files are checked by NGINX again');
      }
    },
  };
}

/** A search renders many parts of one model: each bug is told once. */
function createBugLog(logger: Logger): { note(bug: Error): void } {
  let told = '';
  return {
    note(bug) {
      if (bug.message !== told) {
        told = bug.message;
        logger.error({ err: bug }, 'the renderer failed');
      }
    },
  };
}
