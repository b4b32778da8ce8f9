/** The ways a command ends other than well, and the words it ends with. */
import { Code, ConnectError } from "@connectrpc/connect";

/** The command line was wrong: exit code 2. The message fits one line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The command could not do its work: exit code 1. The message fits one line. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Why a file that the user named could not be written. */
export function cannotWrite(path: string, cause: unknown): CommandError {
  const reason = cause instanceof Deno.errors.NotFound
    ? "its folder does not exist"
    : cause instanceof Deno.errors.PermissionDenied
    ? "permission denied"
    : cause instanceof Deno.errors.IsADirectory
    ? "it is a folder"
    : cause instanceof Error
    ? cause.message
    : String(cause);
  return new CommandError(`Cannot write "${path}": ${reason}`, { cause });
}

/** The user asked to stop: exit code 130, as shells report a program that Ctrl-C ended. The message may have lines. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  constructor(message = "Interrupted") {
    super(message);
  }
}

/** Whether a call ended because the server or the way to it went away, so that calling again may help. */
export function isConnectionLoss(error: unknown): boolean {
  if (!(error instanceof ConnectError)) return false;
  if (error.cause instanceof Error && ("syscall" in error.cause || isCutShort(error.cause))) return true;
  switch (error.code) {
    case Code.Unavailable:
    case Code.Aborted:
    // What the transport makes of a connection that closes under a stream.
    case Code.Canceled:
      return true;
    case Code.Internal:
      return error.rawMessage.includes("missing status");
    default:
      return false;
  }
}

/** What Node's streams make of a connection that closes while one waits for it. */
function isCutShort(error: Error): boolean {
  return "code" in error && error.code === "ERR_STREAM_PREMATURE_CLOSE";
}

/** Whether no server could be reached at all, as against one that answers "unavailable". */
export function isUnreachable(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unavailable && error.cause instanceof Error;
}

/** Whether the two sides did not agree on TLS: a certificate that one does not trust, or no TLS on one side. */
function isTlsFailure({ cause, rawMessage }: ConnectError): boolean {
  return cause instanceof Error && /certificate|fatal alert|SSL routines/.test(rawMessage);
}

/** What went wrong in a call to the server at `address`, for a user. */
export function describeCallFailure(error: ConnectError, address: string): string {
  if (error.code === Code.Unauthenticated) {
    return `${error.rawMessage}; name one with --token-file or MULTISTEP_TOKEN`;
  }
  if (isTlsFailure(error)) {
    return `Cannot speak TLS with ${address} (${error.rawMessage}): --tls-ca names the authority that signed its ` +
      "certificate; --tls-cert and --tls-key name one of your own, where the server wants it";
  }
  if (isUnreachable(error)) {
    return `No server answers at ${address} (${error.rawMessage}): start one with ` +
      `"./multistep serve --listen ${address}", or name another with --server HOST:PORT`;
  }
  if (error.code === Code.DeadlineExceeded) return `The server at ${address} did not answer in time`;
  // Without a cause, "unavailable" is the server's own word.
  if (isConnectionLoss(error) && error.code !== Code.Unavailable) {
    return `Lost the connection to ${address}: ${error.rawMessage}`;
  }
  // A server that speaks no gRPC ends up here too, with the transport's words.
  return error.rawMessage || `The server at ${address} answered ${Code[error.code]}`;
}

/** A message from elsewhere may have several. */
export function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, " ");
}
