/** Deadlines that timers cannot hold. */

/** The longest time of a timer, 24.8 days: one that is set for longer fires at once. */
const longestTimer = 2 ** 31 - 1;

/** Milliseconds of the units of `grpc-timeout` (gRPC over HTTP/2). */
const units: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/**
 * Takes a deadline out of a call's headers that is further off than a timer reaches: the client, which has the same one,
 * ends the call itself if it lasts that long.
 */
export function dropFarDeadline(header: Headers): void {
  const [, count, unit] = /^(\d{1,8})([HMSmun])$/.exec(header.get("grpc-timeout") ?? "") ?? [];
  if (Number(count) * units[unit] > longestTimer) header.delete("grpc-timeout");
  if (Number(header.get("connect-timeout-ms") ?? 0) > longestTimer) header.delete("connect-timeout-ms");
}
