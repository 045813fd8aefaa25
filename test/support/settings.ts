/** Settings for tests, through the same door as an operator's file. */
import {
  type CoreSettings,
  type ExtensionSettings,
  formatProblems,
  parseCoreSettings,
} from '../../src/settings/core-settings.ts';

export function coreSettings(toml: string): CoreSettings {
  // Many cores run side by side here: a port is for those who ask for one.
  const parsed = parseCoreSettings(toml.includes('MetricsListenAddr') ? toml : `MetricsListenAddr = "off"\n${toml}`);
  if (!parsed.ok) {
    throw new Error(formatProblems(parsed.problems));
  }
  return parsed.settings;
}

const MINIMAL = `
[Extensions.default]
Image = "interlock/extension:dev"
ServiceName = "interlock-extension"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "interlock-proxy"
ProxyConfigPath = "/etc/nginx/nginx.conf"
ProxyReplicas = 2
`;

/** The only extension of a small file; `extra` lines go into its table. */
export function extensionSettings(extra = ''): ExtensionSettings {
  const [extension] = coreSettings(MINIMAL + extra).extensions;
  if (extension === undefined) {
    throw new Error('no extension');
  }
  return extension;
}
