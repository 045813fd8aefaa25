/**
 * How long changes take, by core's own clock, from what stands on the board: nobody has to tell. A change that was overtaken counts with
 * the one that overtook it, from its own beginning. Without a connected proxy, and in classic mode, nothing is known of the arrival.
 *
 *   picture --build--> model --answer--> rendered --deliver--> every connected agent serves it
 *      \------------------------------- whole ---------------------------------/
 */
import type { Snapshot } from '../../model/snapshot.ts';
import type { ReadableCell } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { Board, ExtensionBoard } from '../board.ts';
import type { CORE_STAGES } from './definitions.ts';

export interface ConvergenceParts {
  readonly board: Pick<Board, 'extensions'>;
  readonly snapshots: ReadableCell<Snapshot>;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly onStage: (stage: Exclude<keyof typeof CORE_STAGES, 'store'>, ms: number) => void;
  readonly onRevision: (extension: string) => void;
}

interface Change {
  readonly sequence: number;
  readonly beganAt: number;
  readonly revisedAt: number;
  answeredAt: number | undefined;
}

/** Under way at a time, per cluster; older ones are not measured. */
const MAX_UNDER_WAY = 256;

export function createConvergence(parts: ConvergenceParts): Component {
  let pictureAt: number | undefined;
  const notePicture = (): void => {
    pictureAt = parts.clock.monotonic();
  };
  return {
    name: 'metrics.convergence',
    async run(signal) {
      const following = [...parts.board.extensions.values()].flatMap((extension) => {
        const way = createWay(extension, parts);
        return [
          onEach(extension.model, ({ revision }) => way.revised(revision.sequence, pictureAt), signal),
          onEach(extension.rendered, () => way.answered(), signal),
          onEach(extension.agents, () => way.reported(), signal),
        ];
      });
      await Promise.all([onEach(parts.snapshots, notePicture, signal), ...following]);
    },
  };
}

async function onEach<Value>(
  cell: ReadableCell<Value>,
  take: (value: Value) => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const value of cell.watch(signal)) {
    take(value);
  }
}

interface Way {
  revised(sequence: number, beganAt: number | undefined): void;
  answered(): void;
  reported(): void;
}

function createWay(extension: ExtensionBoard, { clock, onStage, onRevision }: ConvergenceParts): Way {
  let underWay: readonly Change[] = [];

  function reported(): void {
    const { artifact, revision } = extension.rendered.get() ?? {};
    const sessions = extension.agents.get()?.sessions ?? [];
    if (artifact === undefined || revision === undefined) {
      return;
    }
    if (sessions.length === 0 || extension.delivery.get()?.mode !== 'hitless') {
      underWay = underWay.filter(({ answeredAt }) => answeredAt === undefined);
      return;
    }
    if (sessions.some(({ artifactDigest }) => artifactDigest !== artifact.digest)) {
      return;
    }
    const now = clock.monotonic();
    for (const { sequence, beganAt, answeredAt } of underWay) {
      if (sequence <= revision.sequence && answeredAt !== undefined) {
        onStage('deliver', now - answeredAt);
        onStage('whole', now - beganAt);
      }
    }
    underWay = underWay.filter(({ sequence }) => sequence > revision.sequence);
  }

  return {
    reported,
    revised(sequence, beganAt) {
      onRevision(extension.settings.name);
      if (beganAt !== undefined) {
        const revisedAt = clock.monotonic();
        onStage('build', revisedAt - beganAt);
        underWay = [...underWay, { sequence, beganAt, revisedAt, answeredAt: undefined }].slice(-MAX_UNDER_WAY);
      }
    },
    answered() {
      const newest = extension.rendered.get()?.revision.sequence ?? 0;
      const now = clock.monotonic();
      for (const change of underWay) {
        if (change.sequence <= newest && change.answeredAt === undefined) {
          change.answeredAt = now;
          onStage('answer', now - change.revisedAt);
        }
      }
      reported();
    },
  };
}
