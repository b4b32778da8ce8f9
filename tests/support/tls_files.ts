/** Certificates for tests; `tls/make.sh` made them. */
import { fileURLToPath } from "node:url";

/** @returns the path of a PEM file */
export function tlsFile(name: string): string {
  return fileURLToPath(new URL(`./tls/${name}`, import.meta.url));
}

export function tlsText(name: string): string {
  return Deno.readTextFileSync(tlsFile(name));
}

export const serverTls = { cert: tlsFile("server.pem"), key: tlsFile("server.key") };
export const mutualTls = { ...serverTls, clientCa: tlsFile("authority.pem") };
