/**
 * What the tests on real engines need, made before them so that no test waits for it: Debian roots, base images, our images.
 * `--full`: for test/full too, which wants a registry and older engines as well.
 */

import { runBed } from './bed.ts';
import { imageArchive } from './images.ts';

await runBed('debian.sh', ['engine', 'forky']);
await runBed('debian.sh', ['nginx-root']);
await imageArchive();
await runBed('debian.sh', ['tool', 'haproxy']);
if (process.argv.includes('--full')) {
  await runBed('debian.sh', ['tool', 'docker-registry']);
  await runBed('debian.sh', ['tool', 'htpasswd']);
  await runBed('debian.sh', ['engine', 'trixie']);
  await runBed('debian.sh', ['host-engine']);
}
