/** The errors this folder makes itself; `connect_error.ts` maps them to gRPC codes. */

/** Why a request cannot be answered; the name of a gRPC code. */
export type RequestErrorKind =
  | "invalid-argument"
  | "not-found"
  | "already-exists"
  | "permission-denied"
  | "failed-precondition"
  | "out-of-range"
  | "resource-exhausted"
  | "unavailable";

/** A request that cannot be answered; the message is for the client. */
export class RequestError extends Error {
  override readonly name: string = "RequestError";
  constructor(readonly kind: RequestErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** A field of a request whose value is not allowed. */
export class InvalidFieldError extends RequestError {
  override readonly name = "InvalidFieldError";
  /**
   * @param field its path in the request, in proto names: "config.batch_size"
   * @param allowed what would be right, after "must be": "an integer from 1 to 10"
   */
  constructor(readonly field: string, readonly value: unknown, readonly allowed: string) {
    super("invalid-argument", `Field "${field}" must be ${allowed}, got ${show(value)}`);
  }
}

/** The server cannot start, or not go on; the message is for who runs it. */
export class ServerError extends Error {
  override readonly name = "ServerError";
}

/** Characters of a client's text repeated in an error. */
const shownCharacters = 100;

function show(value: unknown): string {
  if (value === undefined || value === "") return "nothing";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length <= shownCharacters ? value : `${value.slice(0, shownCharacters)}...`);
}
