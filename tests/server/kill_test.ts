/** The real server with the real engine, killed in the middle of a run; bench/soak.ts does it 50 times. */
import { assertEquals } from "@std/assert";
import { killRuns } from "../../bench/kills.ts";

Deno.test("3 kill -9 in a run: no event lost or repeated, no checkpoint unreadable, the weights equal bit for bit", async () => {
  const { problems, kills } = await killRuns({ kills: 3, epochs: 5 });
  assertEquals({ problems, kills }, { problems: [], kills: 3 });
});
