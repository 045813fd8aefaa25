/** One `[Extensions.<name>]` table, as far as routing is concerned. */
import type { ClusterDefinition } from '../model/build.ts';
import { toPort } from '../model/names.ts';
import { InvariantError } from '../runtime/errors.ts';
import type { ExtensionSettings } from './extension-settings.ts';

export function definitionOf(settings: ExtensionSettings): ClusterDefinition {
  return {
    proxyServiceName: settings.proxyServiceName,
    networks: settings.networks,
    header: {
      serviceCluster: settings.serviceCluster,
      extension: settings.name,
      configPath: settings.proxyConfigPath,
      listen: { http: port(settings.targetPort), tls: port(settings.targetSslPort) },
      published: {
        http: settings.publishedPort === undefined ? undefined : port(settings.publishedPort),
        tls: settings.publishedSslPort === undefined ? undefined : port(settings.publishedSslPort),
      },
      optionsJson: settings.optionsJson,
    },
  };
}

/** Settings were checked at the door; a port that fails here is a bug there. */
function port(value: number) {
  const checked = toPort(value);
  if (checked === undefined) {
    throw new InvariantError(`settings let a port through that is none: ${value}`);
  }
  return checked;
}
