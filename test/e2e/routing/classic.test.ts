/** Classic delivery (`HitlessServiceUpdate = false`) on a real Swarm: every change is a Docker Config and a roll of the proxy service. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSwarm } from '../../support/bed.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock } from '../../support/interlock.ts';
import { runCommand } from '../../support/run-command.ts';

let interlock: Interlock;
const cleanUps: (() => Promise<void>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  const swarm = await startSwarm({ name: 'classic', nodes: 2 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  const config = defaultConfig({ replicas: 1, extra: 'HitlessServiceUpdate = false\n' });
  // Without the control socket: what the task feed `poll` sees is enough.
  interlock = await deployInterlock(swarm, config, { controlSocket: false });
  cleanUps.unshift(() => interlock.down());
  await interlock.createNetwork('app');
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

const answeredBy = (name: string) => (answer: { status: number; body: string }) =>
  answer.status === 200 && answer.body.startsWith(name);

async function settledProxy(): Promise<{ readonly config: string; readonly task: string }> {
  return await eventually(
    async () => {
      const { Spec, UpdateStatus } = await interlock.inspectService('interlock-proxy');
      expect([undefined, 'completed']).toContain(UpdateStatus?.State);
      const tasks = (await interlock.docker.listTasks({
        filters: { service: ['interlock-proxy'], 'desired-state': ['running'] },
      })) as unknown as { ID: string; Status: { State: string } }[];
      expect(tasks.map(({ Status }) => Status.State)).toEqual(['running']);
      const [config] = Spec.TaskTemplate.ContainerSpec['Configs'] as { ConfigName: string }[];
      return { config: config?.ConfigName ?? '', task: tasks[0]?.ID ?? '' };
    },
    { timeoutMs: 90_000, everyMs: 250 },
  );
}

describe('classic delivery', () => {
  it('rolls the proxy service onto a new Docker Config for a changed label', async () => {
    await interlock.createApp({ name: 'demo', networks: ['app'], lb: { hosts: 'demo.local', port: '8080' } });
    await interlock.untilAll('demo.local', answeredBy('demo'), { timeoutMs: 120_000 });
    const before = await settledProxy();

    await interlock.updateService('demo', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = 'renamed.local';
    });
    await interlock.untilAll('renamed.local', answeredBy('demo'), { timeoutMs: 90_000 });
    const after = await settledProxy();

    expect(after.config).not.toBe(before.config);
    expect(after.task).not.toBe(before.task);
  });

  it('follows a task that moves, by polling', async () => {
    await interlock.killTask('demo');
    await interlock.untilAll('renamed.local', answeredBy('demo'), { timeoutMs: 90_000 });
    const feeds = (await interlock.coreLog()).filter(({ msg }) => msg === 'task feed chosen');
    expect(feeds.at(-1)).toMatchObject({ taskFeed: 'poll' });
  });

  it('goes with interlock uninstall, once core is gone, and nothing else does', async () => {
    const uninstall = [
      'uninstall',
      '--stack',
      'interlock',
      '--yes',
      '--host',
      `unix://${interlock.swarm.managerSocket}`,
    ];
    await interlock.swarm.lookThroughLogs();
    const early = await runCommand(uninstall);
    expect(early).toMatchObject({ exitCode: 1 });
    expect(early.stdout).toContain('docker service rm interlock_core');

    await interlock.cli('service', 'rm', 'interlock_core');
    const said: string[] = [];
    await eventually(
      async () => {
        const { exitCode, stdout } = await runCommand(uninstall);
        said.push(stdout);
        expect(exitCode).toBe(0);
      },
      { timeoutMs: 60_000, everyMs: 1_000 },
    );

    expect(said.join('')).toContain('interlock-proxy');
    expect(await names('service')).toEqual(['demo']);
    expect((await names('config')).filter((name) => name.startsWith('com.docker.interlock.'))).toEqual([]);
    expect(await names('secret')).toEqual([]);
    expect(await names('network')).toContain('app');
  });
});

const names = async (kind: 'service' | 'config' | 'secret' | 'network') =>
  (await interlock.cli(kind, 'ls', '--format', '{{.Name}}')).split('\n').filter(Boolean).sort();
