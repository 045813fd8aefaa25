/** Core examines itself and its Swarm: gathers facts for `doctor-checks.ts`. What the Engine does not answer is a fact too. */
import { parseLabels } from '../../../labels/parse-labels.ts';
import { isOperational } from '../../../runtime/errors.ts';
import { SnapshotParseError } from '../../../snapshot/parse.ts';
import { parseServiceCare, type ServiceCare } from '../../../snapshot/service-care.ts';
import type { Diagnosis } from '../../../wire/diagnosis.ts';
import type { Board } from '../../board.ts';
import type { EngineApi, ServiceObject } from '../../engine/engine-api.ts';
import { TYPES } from '../../publish/names.ts';
import { type Asked, diagnose, type ProxyFacts } from './doctor-checks.ts';
import { proxyServiceOf } from './proxy-service.ts';
import { type StatusParts, statusReport } from './status.ts';

export interface DoctorParts extends StatusParts {
  readonly board: Board;
  readonly engine: Pick<EngineApi, 'info' | 'listServiceObjects' | 'listTaskFates' | 'listConfigs'>;
}

export async function diagnosis(parts: DoctorParts, signal: AbortSignal): Promise<Diagnosis> {
  const { engine, board } = parts;
  const snapshot = parts.snapshots.get();
  const routed = (snapshot?.services ?? []).filter((service) => parseLabels(service).kind === 'intent');
  const [info, configs, objects] = await Promise.all([
    ask(signal, () => engine.info(signal)),
    ask(signal, () => engine.listConfigs([`type=${TYPES.proxyConfig}`], signal)),
    ask(signal, () => engine.listServiceObjects([], signal)),
  ]);
  const care = caresOf(objects);
  const proxies = [...board.extensions.values()].map(async ({ settings }): Promise<ProxyFacts> => {
    const service = proxyServiceOf(snapshot, board, settings.proxyServiceName);
    const fates = await ask(signal, async () =>
      service === undefined ? [] : engine.listTaskFates(service.id, signal),
    );
    return { extension: settings.name, wanted: settings.proxyReplicas, service, fates };
  });
  const checks = diagnose({
    ...{ engine: info, status: statusReport(parts), snapshot, configs },
    routed: routed.map((service) => ({ service, care: care.get(service.id) })),
    proxies: await Promise.all(proxies),
  });
  return { checks };
}

async function ask<Value>(signal: AbortSignal, question: () => Promise<Value>): Promise<Asked<Value>> {
  try {
    return { ok: true, value: await question() };
  } catch (error) {
    signal.throwIfAborted();
    if (isOperational(error)) {
      return { ok: false, words: error.message };
    }
    throw error;
  }
}

function caresOf(objects: Asked<readonly ServiceObject[]>): ReadonlyMap<string, ServiceCare> {
  return new Map(
    (objects.ok ? objects.value : []).flatMap(({ id, spec }) => {
      const care = careOf(spec);
      return care === undefined ? [] : [[id, care] as const];
    }),
  );
}

function careOf(spec: ServiceObject['spec']): ServiceCare | undefined {
  try {
    return parseServiceCare(spec);
  } catch (error) {
    if (error instanceof SnapshotParseError) {
      return undefined;
    }
    throw error;
  }
}
