/** What may be reached from other machines, and how well that must be guarded. */
import { ServerError } from "../errors.ts";
import { type Address, formatAddress } from "../listen.ts";

export interface Guards {
  /** Calls are encrypted. */
  readonly tls: boolean;
  /** Clients prove who they are: by a token, or a certificate. */
  readonly authenticated: boolean;
  /** Whoever starts the server wants it without. */
  readonly insecure: boolean;
}

/** @throws {ServerError} the address can be reached from other machines, and is not guarded. */
export function assertGuarded(address: Address, { tls, authenticated, insecure }: Guards): void {
  if (insecure || isLoopback(address.host) || (tls && authenticated)) return;
  const missing = [
    ...tls ? [] : ["--tls-cert and --tls-key"],
    ...authenticated ? [] : ["--token-file or --client-ca"],
  ];
  throw new ServerError(
    `Cannot listen on ${formatAddress(address)}, which other machines can reach, without ${missing.join(" and ")}; ` +
      "--insecure does it all the same",
  );
}

/** @throws {ServerError} the plain HTTP of metrics would be reached from other machines. */
export function assertMetricsGuarded(address: Address, { insecure }: Pick<Guards, "insecure">): void {
  if (insecure || isLoopback(address.host)) return;
  throw new ServerError(
    `Cannot serve metrics on ${formatAddress(address)}, which other machines can reach, for they have no TLS and no ` +
      "tokens; --insecure does it all the same",
  );
}

/** Whether only this machine can reach the host; of names, only "localhost" is known to. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
