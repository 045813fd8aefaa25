/** Who calls <-> the metadata of a call. */
import { Metadata } from '@grpc/grpc-js';
import type { Caller, CallerIdentity, CallerRole } from './contract.ts';
import { refusal } from './errors.ts';

const ROLE = 'interlock-role';
const EXTENSION = 'interlock-extension';
const TOKEN = 'interlock-token';
const VERSION = 'interlock-version';

/** Longer values are nobody's name, token or version. */
const MAX_TEXT = 256;

export function callerMetadata(identity: CallerIdentity): Metadata {
  const metadata = new Metadata();
  metadata.set(ROLE, identity.role);
  metadata.set(VERSION, identity.version);
  if (identity.extension !== undefined) {
    metadata.set(EXTENSION, identity.extension);
  }
  if (identity.token !== undefined) {
    metadata.set(TOKEN, identity.token);
  }
  return metadata;
}

/** Throws a refusal (`unauthenticated`) when the role is missing or unknown, or when nobody says whose extension it is. */
export function callerOf(metadata: Metadata): Caller {
  const role = roleOf(textOf(metadata, ROLE));
  const extension = textOf(metadata, EXTENSION);
  if (extension === undefined && role !== 'operator') {
    throw refusal('unauthenticated', `the metadata of a ${role} names its extension in ${EXTENSION}`);
  }
  return { role, extension, token: textOf(metadata, TOKEN), version: textOf(metadata, VERSION) ?? '' };
}

function roleOf(text: string | undefined): CallerRole {
  if (text === 'extension' || text === 'proxy' || text === 'operator') {
    return text;
  }
  throw refusal('unauthenticated', `the metadata names no role in ${ROLE}: extension, proxy or operator`);
}

/** `undefined` when absent, empty, or given twice. */
function textOf(metadata: Metadata, key: string): string | undefined {
  const values = metadata.get(key);
  const [value] = values;
  if (values.length !== 1 || typeof value !== 'string' || value === '') {
    return undefined;
  }
  if (value.length > MAX_TEXT) {
    throw refusal('unauthenticated', `${key} is longer than ${MAX_TEXT} characters`);
  }
  return value;
}
