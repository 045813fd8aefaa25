import { expect, it } from 'vitest';
import { runSession } from '../../../src/extension/session.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import {
  appears,
  artifactOf,
  createFakeCore,
  createWireBench,
  full,
  patch,
  sampleModel,
  silent,
} from '../../support/wire.ts';

/** Sockets, servers, child processes and timers of this process; a test runner's own pipes are not among them. */
function openHandles(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((kind) => /TCP|Process|HTTP|Timeout/.test(kind))
    .sort();
}

it('leaves no handle open, whenever everything is told to stop', async () => {
  const before = openHandles();
  const models = [sampleModel('a', 50), sampleModel('b', 60)] as const;
  for (const stopAfterMs of [0, 1, 3, 7, 15, 40]) {
    const abort = new AbortController();
    const bench = createWireBench();
    const core = createFakeCore();
    core.messages.set(full(models[0], 0));
    const { port } = await bench.serve(core.handlers);
    const session = runSession(
      {
        client: bench.connect(port),
        render: ({ header }) => ({ artifact: artifactOf(header.optionsJson), findings: [] }),
        check: () => Promise.resolve({ kind: 'passed' }),
        serverInfo: 'test',
        logger: silent,
        clock: systemClock,
      },
      abort.signal,
    );
    const changes = setInterval(() => core.messages.set(patch(models[0], models[1], 1)), 2);
    await new Promise((resolve) => setTimeout(resolve, stopAfterMs));
    abort.abort();
    await session;
    clearInterval(changes);
    await bench.close();
  }
  // The test runner's own timer may have ended meanwhile.
  await appears(() => openHandles().length <= before.length);
  expect(openHandles().filter((kind) => kind !== 'Timeout')).toEqual([]);
});
