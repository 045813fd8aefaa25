import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** One project per kind of test, so that each can be run alone: `npx vitest run --config test/tooling/vitest.config.ts --project unit`. */
export default defineConfig({
  root,
  test: {
    projects: [
      project('unit', { testTimeout: 10_000 }),
      project('property', { testTimeout: 60_000 }),
      project('golden', { testTimeout: 60_000 }),
      project('contract', { testTimeout: 60_000, hookTimeout: 180_000, fileParallelism: false }),
      project('integration', { testTimeout: 60_000, hookTimeout: 60_000 }),
      project('e2e', { testTimeout: 300_000, hookTimeout: 600_000, fileParallelism: false }),
    ],
  },
});

function project(kind: string, options: Record<string, unknown>) {
  return {
    root,
    test: { name: kind, include: [`test/${kind}/**/*.test.ts`], environment: 'node' as const, ...options },
  };
}
