/** Which requests get to a handler: within the limits, while the server is not shutting down, with a token where one is needed. */
import type { Http2ServerRequest } from "node:http2";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { health } from "../gen/mod.ts";
import type { Connection } from "./connections/connection.ts";
import type { Limits } from "./limits.ts";
import type { Authorizer } from "./security/authorizer.ts";

/** A request that was let in. */
export interface Admitted {
  /** The name of its token. */
  readonly client?: string;
  /** Its handler has ended and its stream is closed. */
  leave(): void;
}

export class Admission {
  /** Calls whose work or whose stream has not ended. */
  calls = 0;
  private draining = false;

  /** @param authorizer undefined: anyone may do anything */
  constructor(private readonly limits: Limits, private readonly authorizer?: Authorizer) {}

  /** From now on, only health checks are let in. */
  drain(): void {
    this.draining = true;
  }

  /** @throws {ConnectError} why the request is refused. */
  enter(request: Http2ServerRequest, method: DescMethod, connection: Connection | undefined): Admitted {
    if (this.draining && method.parent !== health.Health) {
      throw new ConnectError("The server is shutting down", Code.Unavailable);
    }
    const client = this.authorizer?.authorize(method, request.headers.authorization);
    this.assertWithinLimits(connection);
    this.calls++;
    if (connection) connection.requests++;
    return {
      client,
      leave: () => {
        this.calls--;
        if (connection) connection.requests--;
      },
    };
  }

  private assertWithinLimits(connection: Connection | undefined): void {
    const { calls, requestsPerConnection, unsentBytesPerConnection } = this.limits;
    if (this.calls >= calls) throw exhausted(`The server answers at most ${calls} calls at a time`);
    if (!connection) return;
    if (connection.requests >= requestsPerConnection) {
      throw exhausted(`The server works on at most ${requestsPerConnection} calls of a connection at a time`);
    }
    if (connection.outflow.unsent > unsentBytesPerConnection) {
      throw exhausted(
        `The server keeps at most ${unsentBytesPerConnection} bytes that a connection's client has not read`,
      );
    }
  }
}

function exhausted(message: string): ConnectError {
  return new ConnectError(message, Code.ResourceExhausted);
}
