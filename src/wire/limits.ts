/** Sizes, times and counts on the wire, set on purpose. */
import { type ChannelOptions, logVerbosity, type ServerOptions, setLogVerbosity } from '@grpc/grpc-js';

// grpc-js prints to stderr past our log; all it has to say also reaches us as an error. GRPC_VERBOSITY brings it back.
if (process.env['GRPC_VERBOSITY'] === undefined) {
  setLogVerbosity(logVerbosity.NONE);
}

const MIB = 1024 * 1024;

/** The largest request: an artifact of 1,000 KiB and its findings fit many times over. */
export const MAX_REQUEST_BYTES = 16 * MIB;

/** The largest answer: a full model of 10,000 hosts is 2.7 MB. */
export const MAX_REPLY_BYTES = 64 * MIB;

/**
 * How long core may take to accept a connection. grpc-js itself waits 20 s for an address that does not answer, and a core that was
 * moved leaves just such an address behind: a client that was not let in by then starts over, with a fresh look at DNS.
 */
export const CONNECT_TIMEOUT_MS = 2_000;

/** How long a unary call may take. */
export const UNARY_TIMEOUT_MS = 10_000;

/** How long fetching an artifact's blobs may take. */
export const FETCH_TIMEOUT_MS = 30_000;

/** Open connections of the server. A daemon of ours has one or two; Swarm has room for thousands of tasks. */
export const MAX_CONNECTIONS = 8_192;

/** How long a caller may take to show its certificate. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/**
 * Open calls of one address, of all kinds; and of one method, sessions excepted. A task has one address and two or three calls; behind one
 * address may also be a node's tasks (EndpointOverride). Each may hold one message that its caller does not take.
 */
export const MAX_CALLS_PER_PEER = 256;
export const MAX_CALLS_PER_PEER_AND_METHOD = 64;

/** Open streams of one table's model: its extension has one, two while it is replaced. Each may hold a model of several MB. */
export const MAX_WATCHERS_PER_EXTENSION = 16;

export const SERVER_OPTIONS: ServerOptions = {
  'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
  'grpc.max_send_message_length': MAX_REPLY_BYTES,
  // Per connection. A daemon of ours holds one stream and a call or two.
  'grpc.max_concurrent_streams': 100,
  // A peer that vanished without a word (node lost, network cut) is let go within 30 s.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  // A connection that carries no call is let go: whoever needs one again makes one.
  'grpc.max_connection_idle_ms': 300_000,
  'grpc.enable_channelz': 0,
};

export const CLIENT_OPTIONS: ChannelOptions = {
  'grpc.max_send_message_length': MAX_REQUEST_BYTES,
  'grpc.max_receive_message_length': MAX_REPLY_BYTES,
  // A core that vanished without a word is noticed within 15 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  // `tasks.<core>` moves when core moves; grpc-js asks DNS every 30 s at most unless told otherwise.
  'grpc.dns_min_time_between_resolutions_ms': 500,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // No TXT lookups for a service config, no retries behind our back, no proxy out of the environment.
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  // One connection per client, so that closing a client closes its connection.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_channelz': 0,
};

/** Pieces of one file, and what one call may ask for: all of them. A file of 10,000 hosts has about 120. */
export const MAX_PIECES = 4_096;

/** What one call may bring; a file of 10,000 hosts has 3 MB. */
export const MAX_FETCHED_BYTES = 64 * MIB;

/**
 * Pieces along with a directive, together: several of those that a change of single services touches. A session may hold one such message
 * that its agent does not take.
 */
export const MAX_ALONG_BYTES = 128 * 1024;

/** Larger blobs travel in pieces, so that one is never a message of its own size. */
export const BLOB_PIECE_BYTES = MIB;

/** Addresses in one message of an agent about endpoints it could not reach. */
export const MAX_UNREACHED = 64;

/** Findings in one report of an agent: more than anybody reads. */
export const MAX_AGENT_FINDINGS = 1_000;
