/** A service that is passed through, on several networks and with a published port: in the original no handshake, and no error anywhere. */
import { expect, it } from 'vitest';
import { modelsOf } from '../../../src/labels/models.ts';
import { definitionOf } from '../../../src/settings/cluster-definition.ts';
import { extensionSettings } from '../../support/settings.ts';
import { ip, network, service, snapshot, task } from '../../support/snapshots.ts';

it('without the network label it is routed over the first of them, never over ingress, and a finding names the choice', () => {
  const networks = [
    network({ id: 'ing', name: 'ingress', ingress: true }),
    network({ id: 'b', name: 'bravo' }),
    network({ id: 'a', name: 'alpha' }),
  ];
  const passed = service({
    id: 'web',
    name: 'web',
    networkIds: ['ing', 'b', 'a'],
    labels: {
      'com.docker.lb.hosts': 'pass.local',
      'com.docker.lb.port': '8443',
      'com.docker.lb.ssl_passthrough': 'true',
    },
  });
  const attachments = networks.map(({ id }, at) => ({ networkId: id, addresses: [ip(`10.${at}.0.5`)] }));
  const { built, findings } = modelsOf(
    snapshot({ networks, services: [passed], tasks: [task({ id: 'web.1', serviceId: 'web', attachments })] }),
    [definitionOf(extensionSettings())],
  );

  expect(findings.map(({ code }) => code)).toEqual(['LABEL.NETWORK_AMBIGUOUS']);
  expect(findings[0]?.advice).toContain('alpha was chosen');
  expect(built.models[0]?.pools).toMatchObject([
    { network: { name: 'alpha' }, endpoints: [{ address: '10.2.0.5', port: 8443 }] },
  ]);
});
