import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** These wait for minutes by their nature, and are short files, which vitest starts last where it has no times of an earlier run. */
const LONG = [
  'test/full/rest.test.ts',
  'test/full/citizen.test.ts',
  'test/full/outer.test.ts',
  'test/full/howtos.test.ts',
  'test/full/docs-pages.test.ts',
];

/** The order of vitest's own, but for files that would still run when everything else is over. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification): boolean => LONG.some((path) => moduleId.endsWith(path));
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}
