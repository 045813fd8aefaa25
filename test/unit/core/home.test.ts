/** Where core listens when config.toml names no host. */
import { describe, expect, it } from 'vitest';
import type { EngineApi } from '../../../src/core/engine/engine-api.ts';
import { findHome, listenHosts } from '../../../src/core/home.ts';
import { coreSettings } from '../../support/settings.ts';

const signal = new AbortController().signal;
const TOML = '[Extensions.default]\n';

/** Core's container is on its control network, and on the ingress network as Swarm puts one that publishes a port. */
const engine = {
  self: () =>
    Promise.resolve({
      containerId: 'c',
      serviceId: 's',
      serviceName: 'interlock_core',
      taskId: 't',
      addresses: [
        { networkId: 'control', address: '10.0.1.5' },
        { networkId: 'control', address: 'fd00::5' },
        { networkId: 'ingress', address: '10.0.0.9' },
      ],
    }),
  inspectService: () => Promise.resolve({ id: 's', name: 'interlock_core', labels: {} }),
  listServices: () => Promise.resolve([{ id: 's', networkIds: ['control'] }]),
} as unknown as EngineApi;

describe('without a host in ListenAddr', () => {
  it("are core's own addresses on its networks, and loopback", async () => {
    const settings = coreSettings(TOML);
    const home = await findHome(engine, settings, signal);
    expect(listenHosts(settings, home)).toEqual(['10.0.1.5', 'fd00::5', '127.0.0.1']);
  });

  it('are all addresses where core cannot know its own', async () => {
    const settings = coreSettings(TOML);
    const home = { ...(await findHome(engine, settings, signal)), addresses: [] };
    expect(listenHosts(settings, home)).toEqual(['0.0.0.0']);
  });

  it.each(['0.0.0.0', '10.9.9.9'])('and with %s it is that one', async (host) => {
    const settings = coreSettings(`ListenAddr = "${host}:8080"\n${TOML}`);
    expect(listenHosts(settings, await findHome(engine, settings, signal))).toEqual([host]);
  });
});
