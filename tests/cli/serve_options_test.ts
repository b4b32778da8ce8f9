import { assertEquals, assertStringIncludes } from "@std/assert";
import type { ServeOptions } from "../../src/cli/mod.ts";
import { defaultLimits } from "../../src/server/mod.ts";
import { type Outcome, runCommand } from "./harness.ts";

/** What `serve` gives the server for a command line. */
async function serveOptions(...args: string[]): Promise<{ outcome: Outcome; options?: ServeOptions }> {
  let options: ServeOptions | undefined;
  let interrupt = () => {};
  const outcome = await runCommand(["serve", ...args], {
    onStart: (given) => interrupt = given,
    local: {
      serve(given) {
        options = given;
        setTimeout(interrupt);
        return Promise.resolve({ address: given.listen, close: () => Promise.resolve() });
      },
    },
  });
  return { outcome, options };
}

Deno.test("serve has the server's own limits as defaults", async () => {
  const { options } = await serveOptions();
  assertEquals({ ...defaultLimits, ...options?.limits }, defaultLimits);
  assertEquals([options?.listen, options?.insecure, options?.tls], ["127.0.0.1:50051", false, undefined]);
  assertEquals([options?.shutdownTimeout, options?.logLevel], [30_000, "info"]);
});

Deno.test("serve passes limits on in the server's units", async () => {
  const { options } = await serveOptions(
    ...["--max-connections", "3", "--max-message", "2", "--idle-timeout", "7", "--connection-age", "9"],
  );
  const { connections, messageBytes, idleTimeout, connectionAge } = options?.limits ?? defaultLimits;
  assertEquals([connections, messageBytes, idleTimeout, connectionAge], [3, 2 * 2 ** 20, 7_000, 9_000]);
});

Deno.test("serve refuses times that timers cannot hold, which would be over at once", async () => {
  for (const option of ["--idle-timeout", "--connection-age", "--shutdown-timeout"]) {
    const { outcome } = await serveOptions(option, String(30 * 86_400));
    assertEquals(outcome.code, 2);
    assertStringIncludes(outcome.stderr, `${option} must be a whole number from 1 to 2147483`);
  }
});

Deno.test("serve fetches known data sets alone unless it is told otherwise", async () => {
  const { options: bare } = await serveOptions();
  assertEquals([bare?.allowFetch, bare?.maxSourceBytes], ["known", 64 * 2 ** 30]);
  const { options } = await serveOptions("--allow-fetch", "public", "--max-source", "1GiB");
  assertEquals([options?.allowFetch, options?.maxSourceBytes], ["public", 2 ** 30]);
});

Deno.test("serve takes the files of TLS together", async () => {
  const { options } = await serveOptions("--tls-cert", "a", "--tls-key", "b", "--client-ca", "c");
  assertEquals(options?.tls, { cert: "a", key: "b", clientCa: "c" });
  for (const args of [["--tls-cert", "a"], ["--tls-key", "b"], ["--client-ca", "c"]]) {
    const { outcome } = await serveOptions(...args);
    assertEquals(outcome.code, 2);
    assertStringIncludes(outcome.stderr, "--tls-key");
  }
});
