/** How client commands reach the server, and prove who they are: the options that they share. */
import type { Access } from "./connection.ts";
import type { CliContext } from "./context.ts";
import { CommandError, UsageError } from "./errors.ts";
import { optional, type OptionValues } from "./options.ts";
import { serverAddress, text } from "./values.ts";

export const accessOptions = {
  server: {
    ...optional(serverAddress(), "The server to talk to"),
    defaultText: "MULTISTEP_SERVER, or 127.0.0.1:50051",
  },
  "tls-ca": {
    ...optional(text("FILE"), "The authority that signed the server's certificate, in PEM; means TLS"),
    defaultText: "MULTISTEP_TLS_CA, or the system's",
  },
  "tls-cert": optional(text("FILE"), "The client's certificate in PEM, where the server wants one; means TLS"),
  "tls-key": optional(text("FILE"), "Its key"),
  "token-file": {
    ...optional(text("FILE"), "A file that holds the token to send, where the server wants one"),
    defaultText: "the token in MULTISTEP_TOKEN",
  },
};

/**
 * Reads what the options name.
 * @throws {UsageError} options that do not go together.
 * @throws {CommandError} a file cannot be read, or the token would travel in the clear.
 */
export function readAccess(
  values: OptionValues<typeof accessOptions>,
  context: CliContext,
): Access & { readonly address: string } {
  const { address, tls: wantsTls } = values.server ?? defaultServer(context);
  const [cert, key] = [values["tls-cert"], values["tls-key"]];
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("Options --tls-cert and --tls-key go together, got one of them");
  }
  const ca = values["tls-ca"] ?? context.tlsCa;
  const usesTls = wantsTls || ca !== undefined || cert !== undefined;
  const tokenFile = values["token-file"];
  const token = tokenFile === undefined ? context.token : readFile(tokenFile).trim();
  if (token !== undefined && !usesTls && !isLoopback(address)) {
    throw new CommandError(`Cannot send the token to ${address} in the clear: name the server as https://${address}`);
  }
  const tls = { ca: optionalFile(ca), cert: optionalFile(cert), key: optionalFile(key) };
  return { address, token, tls: usesTls ? tls : undefined };
}

function defaultServer({ serverAddress: given }: CliContext) {
  try {
    return serverAddress().read(given);
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(`MULTISTEP_SERVER ${error.message}`) : error;
  }
}

function optionalFile(path: string | undefined): string | undefined {
  return path === undefined ? undefined : readFile(path);
}

function readFile(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "it does not exist" : "it is no file that can be read";
    throw new CommandError(`Cannot read "${path}": ${reason}`, { cause: error });
  }
}

/** Whether what is sent stays on this machine. */
function isLoopback(address: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]):\d+$/.test(address);
}
