/**
 * `npm run bench:loop [-- --json FILE] [--services 250,1000,2000] [--feeds watch,poll] [--samples N]`
 *
 * What core's loop costs on a Swarm of N services with three tasks each: the fake Engine, the extension and an agent in a process of
 * their own, core alone in another, whose processor time is what is counted.
 *
 *   start-up  core begins                       -> the first whole model is there for extensions
 *   rest      nothing changes                      one round of the poll (3 s); with the watch, ten seconds
 *   endpoint  a task of one service is replaced -> the agent says that it serves it
 *   label     a host name is added to one       -> the same
 *
 * `list`: time while a list call was under way (sending, reading and parsing the Engine's answer), `beyond` all the rest: merging,
 * model, digest, patches to the extension, artifact to the agent, deciding. Medians; `max` is the worst `beyond`: a garbage collection,
 * or the Docker Config that is stored every 30 s. By polling a change is counted until its service is no longer looked at closely
 * (11 s), so some rounds of the poll are in it. Calls and bytes are the Engine's answers, per sample. `yardstick`: fixed work in the
 * same process after each sample, because a machine that is shared may be half as fast a minute later.
 */
import { fork } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Feed, Figures } from './loop/measure.ts';
import { printTable } from './stats.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    services: { type: 'string', default: '250,1000,2000' },
    feeds: { type: 'string', default: 'watch,poll' },
    samples: { type: 'string' },
  },
});
/** A change costs more than ten seconds by polling. */
const SAMPLES: Readonly<Record<Feed, number>> = { watch: 20, poll: 3 };

async function main(): Promise<void> {
  const rows: Figures[] = [];
  for (const feed of values.feeds.split(',') as readonly Feed[]) {
    for (const services of values.services.split(',').map(Number)) {
      process.stderr.write(`${feed}, ${services} services\n`);
      rows.push(...(await measured(services, feed, Number(values.samples ?? SAMPLES[feed]))));
      print(rows);
      if (values.json !== undefined) {
        await writeFile(
          values.json,
          `${JSON.stringify(
            rows.map((row) => ({ bench: 'loop', ...row })),
            null,
            2,
          )}\n`,
        );
      }
    }
  }
}

function measured(services: number, feed: Feed, samples: number): Promise<readonly Figures[]> {
  const child = fork(fileURLToPath(new URL('loop/measure.ts', import.meta.url)), [
    ...[String(services), feed, String(samples)],
  ]);
  const rows: Figures[] = [];
  child.on('message', (row: Figures) => rows.push(row));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) =>
      code === 0
        ? resolve(rows)
        : reject(new Error(`${feed}, ${services} services: core's process ended with ${code}`)),
    );
  });
}

function print(rows: readonly Figures[]): void {
  console.log('');
  printTable(
    rows.map(({ feed, services, stage, samples, ...row }) => ({
      feed,
      services,
      stage,
      samples,
      'wall ms': row.wallMs,
      'cpu ms': row.cpuMs,
      list: row.listCpuMs,
      beyond: row.beyondMs,
      max: row.beyondMaxMs,
      yardstick: row.yardstickMs,
      calls: row.calls,
      KB: Math.round(row.bytes / 1_000),
    })),
  );
}

await main();
