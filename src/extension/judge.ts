/** Model -> verdict: rendered and checked, or refused with a reason. Remembers what NGINX said about an artifact, so it is asked once. */
import type { ConfigArtifact } from '../model/artifact.ts';
import type { ClusterModel } from '../model/cluster.ts';
import { createFinding, type Finding } from '../model/finding.ts';
import { assertNever } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import type { FollowedModel } from '../wire/follow.ts';
import type { Check, CheckOutcome } from './check.ts';
import { type Draft, draftOf, type Render } from './draft.ts';

export type Verdict =
  | { readonly kind: 'usable'; readonly artifact: ConfigArtifact; readonly findings: readonly Finding[] }
  | { readonly kind: 'refused'; readonly reason: string; readonly findings: readonly Finding[] };

export interface Judge {
  /** Throws the signal's reason when it aborts, and nothing else. */
  judge(followed: FollowedModel, signal: AbortSignal): Promise<Verdict>;
}

export interface JudgeParts {
  readonly render: Render;
  readonly check: Check;
  readonly serverInfo: string;
  readonly logger: Logger;
}

/** What NGINX said for good about an artifact. */
type Known = Extract<CheckOutcome, { kind: 'passed' | 'failed' }>;

/** A cluster that goes back and forth between a few states asks again for none of them. */
const REMEMBERED_ARTIFACTS = 64;

export function createJudge({ render, check, serverInfo, logger }: JudgeParts): Judge {
  const known = new Map<string, Known>();
  const nginx = createNginxLog(logger);
  let last: { readonly revision: string; readonly draft: Draft } | undefined;

  function draft({ revision, model }: FollowedModel): Draft {
    if (last?.revision !== revision.digest) {
      last = { revision: revision.digest, draft: draftOf(model, render, serverInfo) };
    }
    return last.draft;
  }

  async function ask(artifact: ConfigArtifact, model: ClusterModel, signal: AbortSignal): Promise<CheckOutcome> {
    const before = known.get(artifact.digest);
    if (before !== undefined) {
      return before;
    }
    const outcome = await check(artifact.files, model.header.configPath, signal);
    nginx.note(outcome);
    if (outcome.kind === 'passed' || outcome.kind === 'failed') {
      remember(known, artifact.digest, outcome);
    }
    return outcome;
  }

  return {
    async judge(followed, signal) {
      const drafted = draft(followed);
      if (drafted.kind === 'unusable') {
        if (drafted.bug !== undefined) {
          logger.error({ err: drafted.bug, revision: followed.revision.digest }, 'the renderer failed');
        }
        return { kind: 'refused', reason: drafted.reason, findings: drafted.findings };
      }
      const { artifact, findings } = drafted;
      return verdictOf(await ask(artifact, followed.model, signal), artifact, findings, followed.model);
    },
  };
}

function verdictOf(
  outcome: CheckOutcome,
  artifact: ConfigArtifact,
  findings: readonly Finding[],
  { header: { serviceCluster } }: ClusterModel,
): Verdict {
  switch (outcome.kind) {
    case 'passed':
    case 'unavailable':
      return { kind: 'usable', artifact, findings };
    case 'failed':
    case 'unfinished': {
      const advice = `NGINX refuses the rendered file: ${firstComplaint(outcome.words)}`;
      const finding = createFinding('RENDER.CHECK_FAILED', advice, { serviceCluster });
      return { kind: 'refused', reason: outcome.words, findings: [...findings, finding] };
    }
    default:
      return assertNever(outcome);
  }
}

/** The line that stopped NGINX; warnings may come before it. */
function firstComplaint(words: string): string {
  const lines = words.split('\n');
  return lines.find((line) => /\[(?:emerg|alert|crit)\]/.test(line)) ?? lines[0] ?? '';
}

function remember(known: Map<string, Known>, digest: string, outcome: Known): void {
  known.set(digest, outcome);
  const [oldest] = known.keys();
  if (known.size > REMEMBERED_ARTIFACTS && oldest !== undefined) {
    known.delete(oldest);
  }
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
