/** Services and extensions find each other by the name of a service cluster, and a change in one cluster is none in another. */
import { expect, it } from 'vitest';
import { modelsOf } from '../../../src/labels/models.ts';
import { digestModel } from '../../../src/model/revision.ts';
import { definitionOf } from '../../../src/settings/cluster-definition.ts';
import { coreSettings } from '../../support/settings.ts';
import { service, snapshot, task } from '../../support/snapshots.ts';

const TOML = `
[Extensions.default]
[Extensions.east]
ServiceCluster = "east"
PublishedPort = 8081
`;

function modelOf(extension: string, eastHost: string) {
  const lb = (labels: Readonly<Record<string, string>>) =>
    Object.fromEntries(
      Object.entries({ port: '8080', ...labels }).map(([name, text]) => [`com.docker.lb.${name}`, text]),
    );
  const services = [
    service({ id: 'plain', name: 'plain', labels: lb({ hosts: 'plain.local' }) }),
    service({ id: 'far', name: 'far', labels: lb({ hosts: eastHost, service_cluster: 'east' }) }),
  ];
  const tasks = services.map(({ id }) => task({ id: `${id}.1`, serviceId: id }));
  const definitions = coreSettings(TOML).extensions.map((settings) => definitionOf(settings));
  const { built, findings } = modelsOf(snapshot({ services, tasks }), definitions);
  expect(findings).toEqual([]);
  const model = built.models.find(({ header }) => header.extension === extension);
  if (model === undefined) {
    throw new Error(`no model of ${extension}`);
  }
  return model;
}

it('a service is routed by the extension whose ServiceCluster its label names, and by no other', () => {
  expect(modelOf('default', 'far.local').hosts.map(({ host }) => host)).toEqual(['plain.local']);
  expect(modelOf('east', 'far.local').hosts.map(({ host }) => host)).toEqual(['far.local']);
});

it('a change in one cluster is no new revision of another', () => {
  const digests = (extension: string) =>
    ['far.local', 'renamed.local'].map((host) => digestModel(modelOf(extension, host)));
  const [before, after] = digests('default');
  const [eastBefore, eastAfter] = digests('east');

  expect(after).toBe(before);
  expect(eastAfter).not.toBe(eastBefore);
});
