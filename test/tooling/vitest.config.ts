import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './longest-first.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** One project per kind of test, so that each can be run alone: `npx vitest run --config test/tooling/vitest.config.ts --project unit`. */
export default defineConfig({
  root,
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      // In groups, cheap ones first. Those on real engines mostly wait, so their files run side by side on few cores.
      // Unit tests share no state, so their files share a thread and its modules: half the time.
      project('unit', { testTimeout: 10_000, pool: 'threads', isolate: false }, 0),
      project('property', { testTimeout: 60_000 }, 1),
      project('golden', { testTimeout: 60_000 }, 1),
      project('contract', { testTimeout: 60_000, hookTimeout: 180_000, maxWorkers: 2 }, 2),
      project('integration', { testTimeout: 60_000, hookTimeout: 60_000, maxWorkers: 2 }, 2),
      project('e2e', { testTimeout: 300_000, hookTimeout: 600_000, maxWorkers: 3 }, 3),
      // The long list (`npm run test:e2e:full`): failures, the how-tos, the commands of most pages. What breaks and what rolls waits for
      // Swarm, so three clusters share few cores.
      project('full', { testTimeout: 300_000, hookTimeout: 600_000, maxWorkers: 3 }, 4),
    ],
  },
});

function project(kind: string, options: Record<string, unknown>, groupOrder: number) {
  return {
    root,
    test: {
      name: kind,
      include: [`test/${kind}/**/*.test.ts`],
      environment: 'node' as const,
      sequence: { groupOrder },
      ...options,
    },
  };
}
