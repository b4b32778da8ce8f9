/** Ids of requests: the client's own where it sends one that can be logged, else a new one. */

export const requestIdHeader = "x-request-id";

export function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === "string" && /^[\w.:/+=-]{1,128}$/.test(header) ? header : crypto.randomUUID();
}
