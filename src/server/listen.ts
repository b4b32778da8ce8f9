/** Addresses to listen on. */
import type { Server } from "node:net";
import { ServerError } from "./errors.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

const form = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/;

/**
 * @param text "host:port", a host of IPv6 in brackets; port 0 is any that is free
 * @throws {ServerError}
 */
export function parseAddress(text: string): Address {
  const [, v6, name, digits] = form.exec(text) ?? [];
  const port = Number(digits);
  if (port <= 65_535) return { host: v6 ?? name, port };
  throw new ServerError(`Cannot listen on "${text}": it must be HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051`);
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * @returns where the server listens, with the port it was given
 * @throws {ServerError} the address is in use, or none of this machine.
 */
export async function listen(server: Server, address: Address): Promise<Address> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("listening", resolve).once("error", reject);
  server.listen(address.port, address.host);
  try {
    await promise;
  } catch (error) {
    throw new ServerError(`Cannot listen on ${formatAddress(address)}: ${reason(error)}`, { cause: error });
  } finally {
    server.off("error", reject);
  }
  const bound = server.address();
  return { host: address.host, port: typeof bound === "object" && bound ? bound.port : address.port };
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is in use, perhaps by another server; choose another one with --listen",
  EACCES: "permission denied; ports below 1024 are the system's",
  EADDRNOTAVAIL: "the host is no address of this machine",
  EINVAL: "the host is no address of this machine",
  ENOTFOUND: "the host is not known",
};

function reason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return reasons[code] ?? (error instanceof Error ? error.message : String(error));
}
