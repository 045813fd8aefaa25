/** What the tests on real engines need, made before them so that no test waits for it: Debian roots, base images, our images. */

import { runBed } from './bed.ts';
import { imageArchive } from './images.ts';

await runBed('debian.sh', ['engine', 'forky']);
await runBed('debian.sh', ['nginx-root']);
await imageArchive();
