/** Keys of the top level whose effect no other test shows by the key's own name. */
import { describe, expect, it } from 'vitest';
import type { EngineApi } from '../../../src/core/engine/engine-api.ts';
import { findHome } from '../../../src/core/home.ts';
import { coreSettings } from '../../support/settings.ts';

const ONE = '[Extensions.default]\n';
const { signal } = new AbortController();

/** Core as the task of a service on a control network; nothing else is asked of the engine here. */
function engineOf(serviceId: string | undefined): EngineApi {
  const service = { id: 'core', name: 'interlock_core', labels: {}, networkIds: ['ctl'] };
  return {
    self: () => Promise.resolve(serviceId === undefined ? undefined : { serviceId }),
    inspectService: () => Promise.resolve(service),
    listServices: () => Promise.resolve([service]),
  } as unknown as EngineApi; // the three calls that findHome makes
}

describe('EndpointOverride', () => {
  it('is what extensions and proxies dial', async () => {
    const home = await findHome(
      engineOf('core'),
      coreSettings(`EndpointOverride = "core.example:9000"\n${ONE}`),
      signal,
    );

    expect(home).toMatchObject({ endpoint: 'core.example:9000', controlNetworkIds: ['ctl'] });
  });

  it('missing: the tasks of the service that core runs as, at the port of ListenAddr', async () => {
    const home = await findHome(engineOf('core'), coreSettings(`ListenAddr = ":9090"\n${ONE}`), signal);

    expect(home.endpoint).toBe('tasks.interlock_core:9090');
  });

  it('missing where core is no Swarm service: the start stops and says what to write', async () => {
    await expect(findHome(engineOf(undefined), coreSettings(ONE), signal)).rejects.toThrow('EndpointOverride');
  });
});
