/** What bounds a server, so that no client can take it down. Each limit can be set; times are in milliseconds. */

export interface Limits {
  /** Connections at a time; another one is closed at once. */
  readonly connections: number;
  /** Calls at a time, over all connections; another one is RESOURCE_EXHAUSTED. */
  readonly calls: number;
  /** Calls at a time on one connection, as HTTP/2 streams: clients hold back those that are more. */
  readonly streamsPerConnection: number;
  /**
   * Calls at a time on one connection whose work has not ended, of streams that were reset as well: opening and
   * resetting streams is no way around the limit above. Another one is RESOURCE_EXHAUSTED.
   */
  readonly requestsPerConnection: number;
  /** Runs that wait for the GPU; another one is RESOURCE_EXHAUSTED. */
  readonly queuedRuns: number;
  /** Bytes of one message received, unpacked; a larger one is RESOURCE_EXHAUSTED. */
  readonly messageBytes: number;
  /** Bytes of one message sent; a larger one is RESOURCE_EXHAUSTED. */
  readonly answerBytes: number;
  /** Bytes of a request's headers, each counted with 32 more (RFC 9113, section 6.5.2). */
  readonly headerBytes: number;
  /** Bytes written on one connection that its client has not taken, before its new calls are RESOURCE_EXHAUSTED. */
  readonly unsentBytesPerConnection: number;
  /** Until a request, or a message that a stream has begun, has arrived whole; then DEADLINE_EXCEEDED. */
  readonly requestTimeout: number;
  /** How long a client may take nothing of a stream that has more to say, before the stream is reset. */
  readonly stallTimeout: number;
  /** Until a new connection has said that it speaks HTTP/2, and its TLS handshake is done. */
  readonly handshakeTimeout: number;
  /** How long a connection without calls is kept. */
  readonly idleTimeout: number;
  /** How long any connection is kept: then it takes no new calls, and those it has get `connectionGrace`. Infinity: for ever. */
  readonly connectionAge: number;
  readonly connectionGrace: number;
  /** Between two pings of a connection, and until one is answered; then the client is taken for gone. */
  readonly pingInterval: number;
  readonly pingTimeout: number;
}

const MiB = 2 ** 20;
const second = 1_000;
const minute = 60 * second;

export const defaultLimits: Limits = {
  connections: 512,
  calls: 4_096,
  streamsPerConnection: 256,
  requestsPerConnection: 512,
  queuedRuns: 100,
  // An Infer of 256 images of 224 x 224 pixels as files, with room.
  messageBytes: 16 * MiB,
  answerBytes: 16 * MiB,
  headerBytes: 16 * 1024,
  unsentBytesPerConnection: 16 * MiB,
  requestTimeout: minute,
  stallTimeout: 5 * minute,
  handshakeTimeout: 10 * second,
  idleTimeout: 30 * minute,
  // A run may take days, and a plain gRPC client does not call again by itself.
  connectionAge: Infinity,
  connectionGrace: minute,
  pingInterval: 30 * second,
  pingTimeout: 20 * second,
};
