/** Networks and secrets of a proxy service: what it needs, what its spec has, what stays although nobody needs it any more. Pure. */
import type { Reference } from '../board.ts';
import type { Json } from './merge.ts';

/** A secret and the name of its file below /run/secrets. */
export interface MountedSecret extends Reference {
  readonly file: string;
}

export interface Attachments {
  readonly networkIds: readonly string[];
  readonly secrets: readonly MountedSecret[];
}

/** What a spec of ours has, in its order. */
export function attachmentsOf(spec: Json | undefined): Attachments {
  const template = member(spec, 'TaskTemplate');
  const secrets = listed(member(member(template, 'ContainerSpec'), 'Secrets'));
  return {
    networkIds: listed(member(template, 'Networks')).flatMap((network) => text(member(network, 'Target'))),
    secrets: secrets.flatMap((secret) => {
      const [id] = text(member(secret, 'SecretID'));
      const [name] = text(member(secret, 'SecretName'));
      const [file] = text(member(member(secret, 'File'), 'Name'));
      return id === undefined || name === undefined || file === undefined ? [] : [{ id, name, file }];
    }),
  };
}

/** The Docker Config that a spec of ours mounts. */
export function configOf(spec: Json | undefined): Reference | undefined {
  const [config] = listed(member(member(member(spec, 'TaskTemplate'), 'ContainerSpec'), 'Configs'));
  const [id] = text(member(config, 'ConfigID'));
  const [name] = text(member(config, 'ConfigName'));
  return id === undefined || name === undefined ? undefined : { id, name };
}

/** Ids of what is attached and not needed. */
export function unusedIds(needed: Attachments, attached: Attachments): readonly string[] {
  const wanted = idsOf(needed);
  return [...idsOf(attached)].filter((id) => !wanted.has(id));
}

/**
 * What is needed, and of the rest what may stay a while, in the order in which it is attached: so a spec that has all this already is
 * not written for the order's sake. A file that is needed with another secret's bytes does not stay.
 */
export function lingering(needed: Attachments, attached: Attachments, overdue: ReadonlySet<string>): Attachments {
  const wanted = idsOf(needed);
  const present = idsOf(attached);
  const stays = ({ id }: { readonly id: string }): boolean => wanted.has(id) || !overdue.has(id);
  const files = new Map(needed.secrets.map(({ file, id }) => [file, id]));
  // One secret may be mounted as two files.
  const mounted = new Set(attached.secrets.map(({ file, id }) => `${id} ${file}`));
  return {
    networkIds: [
      ...attached.networkIds.filter((id) => stays({ id })),
      ...needed.networkIds.filter((id) => !present.has(id)),
    ],
    secrets: [
      ...attached.secrets.filter((secret) => stays(secret) && (files.get(secret.file) ?? secret.id) === secret.id),
      ...needed.secrets.filter(({ file, id }) => !mounted.has(`${id} ${file}`)),
    ],
  };
}

function idsOf({ networkIds, secrets }: Attachments): ReadonlySet<string> {
  return new Set([...networkIds, ...secrets.map(({ id }) => id)]);
}

function member(value: Json | undefined, key: string): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as { readonly [key: string]: Json })[key]
    : undefined;
}

function listed(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : [];
}

function text(value: Json | undefined): readonly string[] {
  return typeof value === 'string' ? [value] : [];
}
