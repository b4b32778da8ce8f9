import { createServer } from "node:net";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ServerError } from "../../src/server/errors.ts";
import { formatAddress, listen, parseAddress } from "../../src/server/listen.ts";

Deno.test("parseAddress() reads names, IPv4 and IPv6, and formatAddress() undoes it", () => {
  for (const text of ["127.0.0.1:50051", "localhost:0", "[::1]:65535", "[::]:80"]) {
    assertEquals(formatAddress(parseAddress(text)), text);
  }
  assertEquals(parseAddress("[::1]:50051"), { host: "::1", port: 50051 });
});

Deno.test("parseAddress() refuses other texts with an example", () => {
  for (const text of ["", "50051", ":50051", "localhost", "localhost:65536", "::1:50051", "a b:1", "localhost:-1"]) {
    assertThrows(() => parseAddress(text), ServerError, "127.0.0.1:50051");
  }
});

Deno.test("listen() gives the port it got, and names one that is in use", async () => {
  const server = createServer();
  const address = await listen(server, { host: "127.0.0.1", port: 0 });
  assertEquals(address.port > 0, true);
  const text = `Cannot listen on 127.0.0.1:${address.port}: the port is in use`;
  await assertRejects(() => listen(createServer(), address), ServerError, text);
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("listen() names a host that is not of this machine", async () => {
  const address = { host: "192.0.2.1", port: 0 };
  await assertRejects(() => listen(createServer(), address), ServerError, "Cannot listen on 192.0.2.1:0: the host is");
});
