/** The project's images in one archive for `docker load`, built from this checkout in the bed's build engine when they are not there yet. */
import { createBed } from '../../docker/dev/bed.ts';
import { imageArchive as build } from '../../docker/dev/images.ts';
import { createReport } from '../../docker/dev/report.ts';
import { findPlaces } from '../../docker/dev/state.ts';

/** Path of the archive with `interlock/{core,extension,proxy,demo}:dev`. Quick when the sources did not change; minutes on a fresh machine. */
export async function imageArchive(signal: AbortSignal = new AbortController().signal): Promise<string> {
  const places = findPlaces(process.env);
  const report = createReport((line) => process.stderr.write(`${line}\n`), Date.now);
  return build({ places, bed: createBed(places, report, process.env, signal), report, env: process.env, signal });
}
