/** Role tokens, as tasks find them. */
import { generationOf, TOKEN_LABELS, type TokenRole } from '../../src/core/access/names.ts';
import type { FakeEngine } from '../fakes/engine/fake-engine.ts';

/** What Swarm would mount for a task: the text of the newest token secret of this role. */
export function tokenIn(fake: FakeEngine, extension: string, role: TokenRole): string | undefined {
  const holders = [...fake.swarm.store.secrets.values()].filter(
    ({ Spec: { Labels } }) => Labels[TOKEN_LABELS.extension] === extension && Labels[TOKEN_LABELS.role] === role,
  );
  const generation = (name: string) => generationOf(name, extension, role) ?? 0;
  const [newest] = holders.sort((left, right) => generation(right.Spec.Name) - generation(left.Spec.Name));
  return newest && Buffer.from(newest.Spec.Data ?? '', 'base64').toString();
}
