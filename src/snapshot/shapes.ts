/**
 * snapshot: raw Engine JSON in, the parts of a Snapshot out. Pure. Only fields that we read are named, the rest passes by;
 * what engines 17.06 to 29 may leave out is optional. Every parser throws SnapshotParseError, and nothing else.
 *
 * This file: the pieces that several Engine objects share.
 */
import { z } from 'zod';
import { type IpAddress, parseIpAddress } from '../model/names.ts';
import type { PublishedPort } from '../model/snapshot.ts';

/** Labels; the Engine prints `null` or nothing when there are none. */
export const labels = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value): Readonly<Record<string, string>> => value ?? {});

/** `Version.Index`. */
export const version = z.object({ Index: z.number().int().nonnegative() }).transform((value) => value.Index);

/**
 * RFC 3339 in UTC. Go drops trailing zeros of the fraction, and `…46Z` sorts after `…465Z`; with nine digits always,
 * text order is time order.
 */
export const timestamp = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/)
  .transform((text) => {
    const [seconds = '', fraction = ''] = text.slice(0, -1).split('.');
    return `${seconds}.${fraction.padEnd(9, '0')}Z`;
  });

/** A list that the Engine prints as `null`, or not at all, when it is empty. */
export function list<Item extends z.ZodType>(item: Item) {
  return z
    .array(item)
    .nullish()
    .transform((value): readonly z.output<Item>[] => value ?? []);
}

/** `10.0.1.3/24`, `fd00::2/64` or a bare address; `undefined` for anything else, an empty text included. */
export function addressOf(text: string): IpAddress | undefined {
  return parseIpAddress(text.split('/', 1)[0] ?? '');
}

const portNumber = z.number().int().min(0).max(65_535).nullish();

/** One entry of `Ports` in an endpoint or in a task's `PortStatus`; a published port of 0 means "not chosen yet". */
export const publishedPort = z
  .object({
    Protocol: z.enum(['tcp', 'udp', 'sctp']).nullish(),
    PublishMode: z.enum(['ingress', 'host']).nullish(),
    TargetPort: portNumber,
    PublishedPort: portNumber,
  })
  .transform(
    (port): PublishedPort => ({
      protocol: port.Protocol ?? 'tcp',
      mode: port.PublishMode ?? 'ingress',
      targetPort: port.TargetPort ?? 0,
      publishedPort: (port.PublishedPort ?? 0) === 0 ? undefined : (port.PublishedPort ?? undefined),
    }),
  );

/** Engine 28 names each host port of a task once per address family. */
export function distinctPorts(ports: readonly PublishedPort[]): readonly PublishedPort[] {
  const seen = new Map<string, PublishedPort>();
  for (const port of ports) {
    seen.set(`${port.protocol} ${port.mode} ${port.targetPort} ${port.publishedPort ?? ''}`, port);
  }
  return [...seen.values()];
}
