import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * These take minutes by their nature, longest first. Where vitest has no times of an earlier run it goes by the size of files, and some of
 * these are short.
 */
const LONG = [
  'test/e2e/up/up.test.ts',
  'test/e2e/clusters/clusters.test.ts',
  'test/full/citizen.test.ts',
  'test/full/rest.test.ts',
  'test/full/outer.test.ts',
  'test/full/howtos.test.ts',
  'test/full/managers.test.ts',
  'test/full/docs-pages.test.ts',
];

/** The order of vitest's own, but for files that would still run when everything else is over. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const place = ({ moduleId }: TestSpecification): number => {
      const at = LONG.findIndex((path) => moduleId.endsWith(path));
      return at === -1 ? LONG.length : at;
    };
    return sorted.sort((one, other) => place(one) - place(other));
  }
}
