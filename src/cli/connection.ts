/** The way to a server: clients of its services over one HTTP/2 connection. */
import { type Client, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { CatalogService, InferenceService, TrainingService } from "../gen/mod.ts";
import { CommandError, describeCallFailure } from "./errors.ts";
import { type ClientTls, Http2Session } from "./http2_session.ts";

/** For calls that a server answers at once. */
const answerTimeoutMs = 30_000;

export interface Connection {
  /** "HOST:PORT" */
  readonly address: string;
  readonly training: Client<typeof TrainingService>;
  readonly inference: Client<typeof InferenceService>;
  readonly catalog: Client<typeof CatalogService>;
  /** Bytes that have left for the server, over whichever connection there is now. */
  readonly bytesSent: () => number;
  /** Options of a call that needs no work on the GPU. */
  readonly quick: { readonly timeoutMs: number };
  close(): void;
}

/** What a client needs besides the address. */
export interface Access {
  /** Default: no TLS. */
  readonly tls?: ClientTls;
  /** A bearer token. */
  readonly token?: string;
}

/**
 * Runs `work` with a connection that is closed afterwards.
 * @throws {CommandError} in place of a ConnectError that `work` throws, with words for a user
 */
export async function withConnection<T>(
  { address, ...access }: Access & { readonly address: string },
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = connect(address, access);
  try {
    return await work(connection);
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    throw new CommandError(describeCallFailure(error, address), { cause: error });
  } finally {
    connection.close();
  }
}

export function connect(address: string, { tls, token }: Access = {}): Connection {
  const baseUrl = `${tls ? "https" : "http"}://${address}`;
  const session = new Http2Session(baseUrl, tls);
  const interceptors = token === undefined ? [] : [sendToken(token)];
  const transport = createGrpcTransport({ baseUrl, sessionManager: session, interceptors });
  return {
    address,
    training: createClient(TrainingService, transport),
    inference: createClient(InferenceService, transport),
    catalog: createClient(CatalogService, transport),
    quick: { timeoutMs: answerTimeoutMs },
    bytesSent: () => session.bytesSent,
    close: () => session.close(),
  };
}

function sendToken(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}
