/**
 * The proto files, loaded when the program starts. Comes in: `proto/*.proto`. Goes out: one typed encoder and decoder per message, and
 * method definitions whose requests and replies are plain bytes: our handlers decode, so that malformed bytes are answered in our words.
 */
import { fileURLToPath } from 'node:url';
import type { MethodDefinition } from '@grpc/grpc-js';
import { loadSync, type MessageTypeDefinition, type Options, type ServiceDefinition } from '@grpc/proto-loader';
import { OperationalError } from '../runtime/errors.ts';

/** `src/wire` and `dist/wire` both lie two steps below the folder that holds `proto`. */
const PROTO_FOLDER = fileURLToPath(new URL('../../proto/', import.meta.url));

/** Numbers beyond 2^53 lose digits here; the codecs refuse what is not a safe integer. */
const OPTIONS: Options = { keepCase: false, longs: Number, enums: String, defaults: true, oneofs: true };

const DEFINITIONS = loadSync([`${PROTO_FOLDER}interlock.proto`, `${PROTO_FOLDER}health.proto`], OPTIONS);

export interface MessageType<Message> {
  encode(message: Message): Buffer;
  /** Throws `WIRE.MALFORMED` for bytes that are no such message. */
  decode(bytes: Uint8Array): Message;
}

/** `name` is the full name, e.g. `interlock.v1.ModelUpdate`; `Message` is its shape in messages.ts. */
export function messageType<Message extends object>(name: string): MessageType<Message> {
  // The loader types every definition as a union over `object`; messages.ts says what it makes of this proto under OPTIONS.
  const definition = DEFINITIONS[name] as unknown as MessageTypeDefinition<Message, Message>;
  return {
    encode: (message) => definition.serialize(message),
    decode: (bytes) => {
      try {
        return definition.deserialize(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      } catch (error) {
        throw new OperationalError('WIRE.MALFORMED', `the bytes are no ${name}`, {
          cause: error,
          facts: { path: name },
        });
      }
    },
  };
}

export type BytesMethod = MethodDefinition<Buffer, Buffer>;

/** One method of a service, e.g. `('interlock.v1.Models', 'Watch')`. */
export function bytesMethod(service: string, method: string): BytesMethod {
  const definition = (DEFINITIONS[service] as ServiceDefinition)[method];
  if (definition === undefined) {
    throw new Error(`the proto has no ${service}/${method}`);
  }
  const { path, requestStream, responseStream } = definition;
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
