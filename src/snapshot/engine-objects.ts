/** What core reads from the Engine besides the Snapshot: specs as they are, config objects, the engine itself, events. */
import { z } from 'zod';
import { listOf, oneOf } from './parse.ts';
import { updateStateOf, updateStatus } from './service.ts';
import { addressOf, labels, list, timestamp, version } from './shapes.ts';

/** Read in two places, handed on as the Engine printed it: no default is filled in and nothing is dropped. */
const wholeSpec = z.looseObject({ Name: z.string(), Labels: z.record(z.string(), z.string()).nullish() });

const serviceObject = z
  .object({
    ID: z.string(),
    Version: version,
    Spec: wholeSpec,
    PreviousSpec: z.record(z.string(), z.unknown()).nullish(),
    UpdateStatus: updateStatus,
  })
  .transform((raw) => ({
    id: raw.ID,
    name: raw.Spec.Name,
    version: raw.Version,
    labels: raw.Spec.Labels ?? {},
    spec: raw.Spec,
    previousSpec: raw.PreviousSpec ?? undefined,
    updateState: updateStateOf(raw.UpdateStatus),
    updateMessage: raw.UpdateStatus?.Message ?? undefined,
  }));

export const parseServiceObject = oneOf('service', serviceObject);

/** How a task fared, or an ended one did. */
export const parseTaskFate = oneOf(
  'task',
  z
    .object({
      ID: z.string(),
      UpdatedAt: timestamp,
      Spec: z
        .object({ ContainerSpec: z.object({ Labels: z.record(z.string(), z.string()).nullish() }).nullish() })
        .nullish(),
      Status: z.object({ State: z.string().toLowerCase(), Err: z.string().nullish() }),
      DesiredState: z.string().toLowerCase(),
    })
    .transform((raw) => ({
      id: raw.ID,
      updatedAt: raw.UpdatedAt,
      containerLabels: raw.Spec?.ContainerSpec?.Labels ?? {},
      state: raw.Status.State,
      desiredState: raw.DesiredState,
      error: raw.Status.Err == null || raw.Status.Err === '' ? undefined : raw.Status.Err,
    })),
);

const configSpec = z.object({ Name: z.string(), Labels: labels });

export const parseConfigObject = oneOf(
  'config',
  z.object({ ID: z.string(), Version: version, CreatedAt: timestamp, Spec: configSpec }).transform((raw) => ({
    id: raw.ID,
    name: raw.Spec.Name,
    version: raw.Version,
    labels: raw.Spec.Labels,
    createdAt: raw.CreatedAt,
  })),
);

/** A config with its content; `Data` is base64 and left out when empty. */
export const parseConfigContent = oneOf(
  'config',
  z
    .object({ ID: z.string(), Spec: z.object({ Name: z.string(), Data: z.string().nullish() }) })
    .transform((raw) => ({ id: raw.ID, name: raw.Spec.Name, base64: raw.Spec.Data ?? '' })),
);

/** The answer to a create call. */
export const parseCreated = oneOf(
  'create answer',
  z.object({ ID: z.string().min(1) }).transform((raw) => raw.ID),
);

export const parseEngineVersion = oneOf(
  'version',
  z
    .object({
      ApiVersion: z.string().regex(/^\d+\.\d+$/),
      MinAPIVersion: z
        .string()
        .regex(/^\d+\.\d+$/)
        .nullish(),
    })
    .transform((raw) => ({ newest: raw.ApiVersion, oldest: raw.MinAPIVersion ?? raw.ApiVersion })),
);

export const parseInfo = oneOf(
  'info',
  z
    .object({
      ServerVersion: z.string(),
      Swarm: z
        .object({
          NodeID: z.string().nullish(),
          LocalNodeState: z.enum(['inactive', 'pending', 'active', 'error', 'locked']).or(z.literal('')).nullish(),
          ControlAvailable: z.boolean().nullish(),
          /** On managers only. `/swarm` has it too, but prints the join tokens with it. */
          Cluster: z.object({ TLSInfo: z.object({ TrustRoot: z.string().nullish() }).nullish() }).nullish(),
        })
        .nullish(),
    })
    .transform((raw) => ({
      engineVersion: raw.ServerVersion,
      nodeId: raw.Swarm?.NodeID ?? '',
      swarm: raw.Swarm?.LocalNodeState || ('inactive' as const),
      isManager: raw.Swarm?.ControlAvailable ?? false,
      trustRoot: raw.Swarm?.Cluster?.TLSInfo?.TrustRoot || undefined,
    })),
);

const attachedNetwork = z.object({
  NetworkID: z.string().nullish(),
  IPAddress: z.string().nullish(),
  GlobalIPv6Address: z.string().nullish(),
});

function addressesOn({ NetworkID, IPAddress, GlobalIPv6Address }: z.output<typeof attachedNetwork>) {
  return [IPAddress, GlobalIPv6Address].flatMap((address) =>
    address == null || address === '' || NetworkID == null ? [] : [{ networkId: NetworkID, address }],
  );
}

/** `GET /tasks` -> the container of each: what a manager knows of containers that other engines run. */
export const parseTaskContainer = oneOf(
  'task',
  z
    .object({
      ID: z.string(),
      ServiceID: z.string().nullish(),
      Status: z.object({ ContainerStatus: z.object({ ContainerID: z.string().nullish() }).nullish() }).nullish(),
      NetworksAttachments: list(
        z.object({ Network: z.object({ ID: z.string() }).nullish(), Addresses: list(z.string()) }),
      ),
    })
    .transform((raw) => ({
      taskId: raw.ID,
      serviceId: raw.ServiceID || undefined,
      /** `''` before there is one. */
      containerId: raw.Status?.ContainerStatus?.ContainerID ?? '',
      addresses: raw.NetworksAttachments.flatMap(({ Network, Addresses }) =>
        Network == null
          ? []
          : Addresses.flatMap((text) => addressOf(text) ?? []).map((address) => ({ networkId: Network.ID, address })),
      ),
    })),
);

/** `GET /containers/<id>/json`. */
export const parseContainer = oneOf(
  'container',
  z
    .object({
      Id: z.string(),
      Config: z.object({ Labels: labels }).nullish(),
      NetworkSettings: z.object({ Networks: z.record(z.string(), attachedNetwork).nullish() }).nullish(),
    })
    .transform((raw) => ({
      id: raw.Id,
      labels: raw.Config?.Labels ?? {},
      addresses: Object.values(raw.NetworkSettings?.Networks ?? {}).flatMap(addressesOn),
    })),
);

/** `GET /containers/json`. */
export const parseContainers = listOf(
  'container',
  oneOf(
    'container',
    z.object({ Id: z.string(), Labels: labels }).transform((raw) => ({ id: raw.Id, labels: raw.Labels })),
  ),
);

/** `GET /services`: the environment of each, in its own order. */
export const parseServiceEnvironments = listOf(
  'service',
  oneOf(
    'service',
    z
      .object({
        Spec: z.object({
          TaskTemplate: z
            .object({ ContainerSpec: z.object({ Env: z.array(z.string()).nullish() }).nullish() })
            .nullish(),
        }),
      })
      .transform((raw): readonly string[] => raw.Spec.TaskTemplate?.ContainerSpec?.Env ?? []),
  ),
);

/** `GET /exec/<id>/json`: the exit code; `undefined` while it runs. */
export const parseExecEnd = oneOf(
  'exec',
  z.object({ ExitCode: z.number().int().nullish() }).transform((raw) => raw.ExitCode ?? undefined),
);

/** One line of `GET /events`. */
export const parseEngineEvent = oneOf(
  'event',
  z
    .object({
      Type: z.string(),
      Action: z.string(),
      Actor: z.object({ ID: z.string(), Attributes: labels }),
    })
    .transform((raw) => ({ type: raw.Type, action: raw.Action, id: raw.Actor.ID, attributes: raw.Actor.Attributes })),
);

/** `{"message": "..."}`, the Engine's words when it refuses. */
export const parseRefusal = oneOf(
  'refusal',
  z.object({ message: z.string() }).transform((raw) => raw.message),
);
