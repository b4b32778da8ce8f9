/** The way to a server: clients of its services over one HTTP/2 connection. */
import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { CatalogService, InferenceService, TrainingService } from "../gen/mod.ts";
import { CommandError, describeCallFailure } from "./errors.ts";
import { Http2Session } from "./http2_session.ts";

/** For calls that a server answers at once. */
const answerTimeoutMs = 30_000;

export interface Connection {
  /** "HOST:PORT" */
  readonly address: string;
  readonly training: Client<typeof TrainingService>;
  readonly inference: Client<typeof InferenceService>;
  readonly catalog: Client<typeof CatalogService>;
  /** Options of a call that needs no work on the GPU. */
  readonly quick: { readonly timeoutMs: number };
  close(): void;
}

/**
 * Runs `work` with a connection that is closed afterwards.
 * @throws {CommandError} in place of a ConnectError that `work` throws, with words for a user
 */
export async function withConnection<T>(address: string, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = connect(address);
  try {
    return await work(connection);
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    throw new CommandError(describeCallFailure(error, address), { cause: error });
  } finally {
    connection.close();
  }
}

export function connect(address: string): Connection {
  const baseUrl = `http://${address}`;
  const session = new Http2Session(baseUrl);
  const transport = createGrpcTransport({ baseUrl, sessionManager: session });
  return {
    address,
    training: createClient(TrainingService, transport),
    inference: createClient(InferenceService, transport),
    catalog: createClient(CatalogService, transport),
    quick: { timeoutMs: answerTimeoutMs },
    close: () => session.close(),
  };
}
