import { ServerError } from "./errors.ts";

/** The one version this server is tested on. */
export const pinnedVersion = "2.9.3";

/** Their nghttp2 aborts the process when a client that made many calls closes its channel (denoland/deno#36788). */
const abortingVersions: readonly string[] = ["2.9.4", "2.9.5", "2.9.6"];

/**
 * Refuses every Deno but the pinned one.
 * @param version as in `Deno.version.deno`
 * @throws {ServerError} naming the version to use.
 */
export function assertSupportedDeno(version: string): void {
  if (version === pinnedVersion) return;
  const reason = abortingVersions.includes(version)
    ? "this version aborts in its HTTP/2 code when a client closes a channel it made many calls on"
    : "the server is not known to work on it";
  throw new ServerError(`Cannot serve on Deno ${version}: ${reason}; use Deno ${pinnedVersion}`);
}
