import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { assertSupportedDeno, pinnedVersion, ServerError } from "../../src/server/mod.ts";

Deno.test("assertSupportedDeno() accepts the Deno that runs the tests", () => {
  assertSupportedDeno(Deno.version.deno);
});

Deno.test("assertSupportedDeno() refuses versions known to abort, says why and names the one to use", () => {
  for (const version of ["2.9.4", "2.9.5", "2.9.6"]) {
    const { message } = assertThrows(
      () => assertSupportedDeno(version),
      ServerError,
      `Deno ${version}: this version aborts`,
    );
    assertStringIncludes(message, "use Deno 2.9.3");
  }
});

Deno.test("assertSupportedDeno() refuses other versions", () => {
  for (const version of ["2.9.2", "2.9.33", "2.10.0", "3.0.0", ""]) {
    assertThrows(() => assertSupportedDeno(version), ServerError, "use Deno 2.9.3");
  }
});

Deno.test("the launcher installs the version that the server is pinned to", async () => {
  const launcher = await Deno.readTextFile(new URL("../../multistep", import.meta.url));
  assertEquals(/^deno_version=(.+)$/m.exec(launcher)?.[1], pinnedVersion);
});
