/**
 * Faults between core and its proxies. Each test makes the same claim: the last good configuration serves, and the newest one arrives by
 * itself.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TokenRole } from '../../../src/core/access/names.ts';
import { createCell } from '../../../src/runtime/cell.ts';
import { createWireClient } from '../../../src/wire/client.ts';
import type { AgentReport } from '../../../src/wire/contract.ts';
import { eventually } from '../../support/eventually.ts';
import { tokenIn } from '../../support/tokens.ts';
import { openWay } from './cut.ts';
import { createFaultWorld, type FaultWorld, storedConfigs } from './world.ts';

let world: FaultWorld;

beforeEach(async () => {
  world = await createFaultWorld();
});

afterEach(() => world.close());

/** Host names that make a file of about this many bytes, in services of 200 hosts each. */
function addManyHosts(bytes: number): void {
  const long = 'x'.repeat(60);
  const services = Math.ceil(bytes / (200 * 200));
  for (let index = 0; index < services; index += 1) {
    const hosts = Array.from({ length: 200 }, (_, host) => `h${index}-${host}.${long}.${long}.${long}.local`);
    world.fake.swarm.addService({
      Name: `many${index}`,
      Labels: { 'com.docker.lb.hosts': hosts.join(), 'com.docker.lb.port': '80' },
      // Reached at its node, so that no network has to be attached first.
      EndpointSpec: { Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 9_000, PublishMode: 'host' }] },
    });
  }
}

describe('an agent whose way to core is cut', { timeout: 120_000 }, () => {
  it.each([
    ['between directive and blobs', 1],
    ['in the middle of the blobs', 200_000],
    ['when all blobs have come', undefined],
  ])('%s serves the old file or the new one, and the newest when the way is mended', async (_when, bytes) => {
    world.daemons.startCore();
    world.daemons.startExtension();
    world.setHosts('one.local');
    await eventually(() => world.daemons.served() !== undefined, { timeoutMs: 20_000 });
    await using way = await openWay(world.daemons.endpoint);
    await using agent = await world.startProxy({ endpoint: way.endpoint });
    const master = await agent.master();
    await world.serves('one.local');

    if (bytes !== undefined) {
      way.cutAfter(bytes);
    }
    addManyHosts(400_000);
    world.setHosts('one.local,two.local');
    if (bytes === undefined) {
      const staged = join(agent.runDir, 'interlock/conf/nginx.conf');
      await eventually(async () => (await readFile(staged, 'utf8')).includes('two.local'), { everyMs: 1 });
      way.cut();
    }
    await eventually(() => way.breaks() > 0, { timeoutMs: 20_000 });
    expect(await world.ask('one.local')).toBe(200);
    world.setHosts('one.local,three.local'); // while it is away
    await eventually(() => way.breaks() > 3);
    expect(await world.ask('one.local')).toBe(200);
    expect(await world.ask('three.local')).toBe(503);

    way.mend();
    await world.serves('three.local');
    await world.leaves('two.local');
    expect(await agent.master()).toBe(master);
  });

  it('for a while misses several changes, serves on, and catches up with the last', async () => {
    world.daemons.startCore();
    world.daemons.startExtension();
    world.setHosts('one.local');
    await using way = await openWay(world.daemons.endpoint);
    await using agent = await world.startProxy({ endpoint: way.endpoint });
    const master = await agent.master();
    await world.serves('one.local');
    way.cut();
    for (const change of ['two', 'three', 'four']) {
      const rendered = () => world.daemons.log.filter(({ msg }) => msg === 'artifact accepted').length;
      const before = rendered();
      world.setHosts(`one.local,${change}.local`);
      await eventually(() => rendered() > before);
    }
    expect(await world.ask('one.local')).toBe(200);
    expect(await world.ask('four.local')).toBe(503);
    way.mend();
    await world.serves('four.local');
    await world.leaves('two.local');
    expect(await agent.master()).toBe(master);
  });
});

describe('a file that only the NGINX of the proxy refuses', { timeout: 120_000 }, () => {
  it("is reported in NGINX's words, keeps the old one serving, and the next good one arrives", async () => {
    const core = world.daemons.startCore();
    const extension = world.daemons.startExtension();
    world.setHosts('one.local');
    await using agent = await world.startProxy();
    const master = await agent.master();
    await world.serves('one.local');
    await Promise.all([core.stop(), extension.stop()]);

    // The check of this extension's files passes everything.
    const bad = await world.withLines('[Extensions.default.Config]\nGlobalOptions = ["nonsense on;"]\n');
    bad.startCore();
    bad.startExtension();
    world.setHosts('one.local,two.local');
    await eventually(() => expect(world.told()).toContain('DELIVERY.REFUSED'), { timeoutMs: 30_000 });
    const refused = bad.log
      .map(({ finding }) => finding as { readonly code: string; readonly value: string } | undefined)
      .find((finding) => finding?.code === 'DELIVERY.REFUSED');
    expect(refused?.value).toMatch(/^\[emerg\] unknown directive "nonsense" in .*nginx\.conf:\d+$/);
    expect(await world.ask('one.local')).toBe(200);
    expect(await world.ask('two.local')).toBe(503);
    await bad.stopAll();

    const good = await world.withLines('');
    good.startCore();
    good.startExtension();
    await world.serves('two.local');
    expect(await agent.master()).toBe(master);
  });
});

describe('sessions and reports that are out of order', { timeout: 120_000 }, () => {
  it('a task that a second agent claims goes back to the one that lives, with what is newest', async () => {
    world.daemons.startCore();
    world.daemons.startExtension();
    world.setHosts('one.local');
    await using first = await world.startProxy();
    await first.master();
    await world.serves('one.local');
    const taken = () => world.daemons.log.filter(({ msg }) => msg === 'agent connected').length;
    const before = taken();
    // The same port: this one's NGINX cannot bind it, and the agent claims the task before that.
    await using second = await world.startProxy();
    await eventually(() => taken() > before, { timeoutMs: 20_000 });
    await second.exitCode;
    world.setHosts('one.local,two.local');
    await world.serves('two.local');
    expect(await world.ask('one.local')).toBe(200);
  });

  it('a late report of an older file neither accuses the newest one nor holds the next one up', async () => {
    world.daemons.startCore();
    world.daemons.startExtension();
    world.setHosts('one.local');
    await using agent = await world.startProxy();
    await agent.master();
    await world.serves('one.local');
    const slow = openSlowAgent();
    const first = await slow.told(1);
    world.setHosts('one.local,two.local');
    await world.serves('two.local');
    await slow.told(2);

    await slow.report(first, { kind: 'refused', reason: '[emerg] too late' });
    await slow.report(first, { kind: 'applied' });
    expect(world.told()).not.toContain('DELIVERY.REFUSED');
    expect(await world.ask('two.local')).toBe(200);
    world.setHosts('one.local,three.local');
    await world.serves('three.local');
    expect(new Set([first, await slow.told(2), await slow.told(3)]).size).toBe(3);
    await slow.end();
  });
});

/** A session by hand, of a task of its own: it reports what the test says, when the test says so. */
function openSlowAgent() {
  const stop = new AbortController();
  const reports = createCell<AgentReport>();
  const digests: string[] = [];
  const client = createWireClient({
    endpoint: world.daemons.endpoint,
    identity: { role: 'proxy', extension: 'default', version: '1' },
    token: () => Promise.resolve(tokenIn(world.fake, 'default', 'proxy')),
  });
  const hello = { taskId: 'slow', nodeId: 'node1', proxyVersion: '1.30.6', artifactDigest: undefined };
  const ended = (async () => {
    for await (const directive of client.agentSession(hello, (over) => reports.watch(over), stop.signal)) {
      if (directive.kind === 'serve') {
        digests.push(directive.manifest.digest);
      }
    }
  })();
  ended.catch(() => undefined); // awaited in end()
  const heard = () => world.daemons.log.filter(({ msg, task }) => msg === 'report' && task === 'slow').length;
  return {
    /** The digest that the `count`th directive named. */
    told: (count: number) =>
      eventually(() => {
        const digest = digests[count - 1];
        if (digest === undefined) {
          throw new Error(`${digests.length} directives so far`);
        }
        return digest;
      }),
    async report(artifactDigest: string, outcome: AgentReport['outcome']) {
      const before = heard();
      reports.set({ artifactDigest, outcome, durationMs: 60_000, findings: [] });
      await eventually(() => heard() > before);
    },
    async end() {
      stop.abort();
      await Promise.allSettled([ended]);
      client.close();
    },
  };
}

describe('the extension', { timeout: 120_000 }, () => {
  it('killed in the middle of a change leaves the old file; the next one renders what is newest', async () => {
    world.daemons.startCore();
    const extension = world.daemons.startExtension();
    world.setHosts('one.local');
    await using agent = await world.startProxy();
    const master = await agent.master();
    await world.serves('one.local');
    world.setHosts('one.local,two.local');
    await extension.stop();
    world.setHosts('one.local,three.local');
    expect(await world.ask('one.local')).toBe(200);
    expect(await world.ask('three.local')).toBe(503);
    world.daemons.startExtension();
    await world.serves('three.local');
    await world.serves('one.local');
    expect(await agent.master()).toBe(master);
  });
});

const OTHER = `
[Extensions.other]
ServiceCluster = "other"
ServiceName = "other-extension"
ProxyServiceName = "other-proxy"
PublishedPort = 8081
`;

const WRONG_TOKENS = [
  ['none', () => undefined, 'unauthenticated'],
  ['a wrong one', () => 'w'.repeat(43), 'unauthenticated'],
  ["another cluster's", (role: TokenRole) => tokenIn(world.fake, 'other', role), 'permission-denied'],
] as const;

describe('who has not its own token', { timeout: 120_000 }, () => {
  /** Heard by who was refused, in the words of core. */
  const isRefused = (log: readonly Record<string, unknown>[], reason: string) =>
    log.some(({ err }) => (err as { facts?: { reason?: string } } | undefined)?.facts?.reason === reason);

  it.each(WRONG_TOKENS)(
    'as a proxy, with %s, serves the file that is mounted; with its own again what is newest',
    async (_what, wrong, reason) => {
      const daemons = await world.withLines(OTHER);
      daemons.startCore();
      daemons.startExtension();
      world.setHosts('one.local');
      await eventually(() => tokenIn(world.fake, 'other', 'proxy') !== undefined);
      await using agent = await world.startProxy({ token: wrong('proxy') ?? null });
      const master = await agent.master();
      await world.serves('one.local');
      world.setHosts('one.local,two.local');
      await eventually(() => expect(daemons.log.filter(({ msg }) => msg === 'artifact accepted')).toHaveLength(2));
      await eventually(async () => isRefused(await agent.log(), reason));
      expect(await world.ask('one.local')).toBe(200);
      expect(await world.ask('two.local')).toBe(503);

      await writeFile(join(agent.runDir, 'secrets/interlock-token'), tokenIn(world.fake, 'default', 'proxy') ?? '');
      await world.serves('two.local');
      expect(await agent.master()).toBe(master);
    },
  );

  it.each(WRONG_TOKENS)(
    'as an extension, with %s, changes nothing; with its own again it renders what is newest',
    async (_what, wrong, reason) => {
      const daemons = await world.withLines(OTHER);
      daemons.startCore();
      const first = daemons.startExtension();
      world.setHosts('one.local');
      await using agent = await world.startProxy();
      const master = await agent.master();
      await world.serves('one.local');
      await first.stop();

      const before = daemons.log.length;
      const ofExtension = () => daemons.log.slice(before).filter(({ component }) => component === 'extension');
      let hasItsOwn = false;
      daemons.startExtension('default', () =>
        hasItsOwn ? tokenIn(world.fake, 'default', 'extension') : wrong('extension'),
      );
      world.setHosts('one.local,two.local');
      await eventually(() => isRefused(ofExtension(), reason));
      expect(await world.ask('one.local')).toBe(200);
      expect(await world.ask('two.local')).toBe(503);
      hasItsOwn = true;
      await world.serves('two.local');
      expect(await agent.master()).toBe(master);
    },
  );
});

describe('a file above what Swarm stores as it is', { timeout: 180_000 }, () => {
  it('is delivered, stored packed, and what a proxy starts with while core is away', async () => {
    const core = world.daemons.startCore();
    world.daemons.startExtension();
    world.setHosts('one.local');
    {
      await using agent = await world.startProxy();
      await agent.master();
      await world.serves('one.local');
      addManyHosts(1_400_000);
      world.setHosts('one.local,two.local');
      await world.serves('two.local');
      agent.signal('SIGTERM');
      await agent.exitCode;
    }
    const stored = await eventually(
      () => {
        const found = storedConfigs(world.fake).find(({ text }) => text.includes('two.local'));
        expect(found?.text.length).toBeGreaterThan(1_000 * 1_024);
        expect(found?.bytes.subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
        return found;
      },
      { timeoutMs: 40_000 },
    );
    await core.stop();
    await using again = await world.startProxy({ mounted: stored?.bytes ?? '' });
    await again.master();
    await world.serves('two.local');
    expect(world.told()).not.toContain('PUBLISH.CONFIG_TOO_LARGE');
  });
});
