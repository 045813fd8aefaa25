/**
 * Takes away what an earlier config.toml asked for: services and Proxy Configs of extensions that are gone from it, and services that
 * have another name now. Only what carries our labels and our stack is ours; a foreign service is never touched.
 */
import { createSelection } from '../../model/lists.ts';
import type { Service, Snapshot } from '../../model/snapshot.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import type { ReadableCell } from '../../runtime/cell.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { ExtensionSettings } from '../../settings/core-settings.ts';
import type { ConfigObject } from '../engine/engine-api.ts';
import type { Home } from './desired.ts';
import { CONFIG_TYPES, LABELS, TYPES } from './names.ts';
import type { PublisherTools } from './publishing.ts';

export function createLeftoverRemoval(
  tools: PublisherTools,
  home: Home,
  extensions: readonly ExtensionSettings[],
  snapshots: ReadableCell<Snapshot>,
): Component {
  return {
    name: 'publish.leftovers',
    async run(signal) {
      let backoff = createBackoff(tools.clock);
      let hasLooked = false;
      const leftoversIn = createSelection(isLeftover(extensions, home));
      for await (const snapshot of snapshots.watch(signal)) {
        const services = leftoversIn(snapshot.services);
        if (hasLooked && services.length === 0) {
          continue;
        }
        backoff.begin();
        hasLooked = await removeAll(tools, services, { extensions, home, signal });
        if (hasLooked) {
          backoff = createBackoff(tools.clock);
        } else {
          await backoff.wait(signal);
        }
      }
    },
  };
}

/** Pure. */
export function isLeftover(extensions: readonly ExtensionSettings[], home: Home): (service: Service) => boolean {
  const expected = new Set(
    extensions.flatMap(({ name, serviceName, proxyServiceName }) => [
      JSON.stringify([TYPES.extension, name, serviceName]),
      JSON.stringify([TYPES.proxy, name, proxyServiceName]),
    ]),
  );
  return ({ name, labels }) => {
    const type = labels[LABELS.type];
    const isOurKind = (type === TYPES.extension || type === TYPES.proxy) && isOfHome(labels, home);
    return isOurKind && !expected.has(JSON.stringify([type, labels[LABELS.extension], name]));
  };
}

/**
 * A core in a stack knows its own by the stack's name. One outside of any stack could not tell its services from those of another such
 * core: it removes nothing.
 */
function isOfHome(labels: Readonly<Record<string, string>>, { stack }: Home): boolean {
  return stack !== undefined && labels[LABELS.stack] === stack && labels[LABELS.extension] !== undefined;
}

interface Scope {
  readonly extensions: readonly ExtensionSettings[];
  readonly home: Home;
  readonly signal: AbortSignal;
}

/** False when something was left that another try may remove. Configs go after the services that refer to them. */
async function removeAll(
  { engine, logger }: PublisherTools,
  services: readonly Service[],
  { extensions, home, signal }: Scope,
): Promise<boolean> {
  try {
    for (const { id, name } of services) {
      await orGone(engine.removeService(id, signal));
      logger.info({ area: 'publish', service: name }, 'service removed: config.toml does not ask for it any more');
    }
    const configs = await Promise.all(
      CONFIG_TYPES.map((type) => engine.listConfigs([`${LABELS.type}=${type}`], signal)),
    );
    for (const { id, name } of leftoverConfigs(configs.flat(), extensions, home)) {
      await orGone(engine.removeConfig(id, signal));
      logger.info({ area: 'publish', config: name }, 'config removed: config.toml does not ask for it any more');
    }
    return true;
  } catch (error) {
    if (signal.aborted || !isOperational(error)) {
      throw error;
    }
    logger.warn({ area: 'publish', err: toError(error), code: error.code }, 'leftovers could not be removed yet');
    return false;
  }
}

function leftoverConfigs(
  configs: readonly ConfigObject[],
  extensions: readonly ExtensionSettings[],
  home: Home,
): readonly ConfigObject[] {
  const names = new Set(extensions.map(({ name }) => name));
  return configs.filter(({ labels }) => isOfHome(labels, home) && !names.has(labels[LABELS.extension] ?? ''));
}

/** Somebody else may have removed it. */
async function orGone(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (!isOperational(error, 'ENGINE.NOT_FOUND')) {
      throw error;
    }
  }
}
