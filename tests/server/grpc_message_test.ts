import { assertEquals } from "@std/assert";
import { encodeGrpcMessage } from "../../src/server/grpc_message.ts";

Deno.test("encodeGrpcMessage() leaves printable ASCII as it is, and escapes the rest as UTF-8", () => {
  assertEquals(encodeGrpcMessage('There is no run "runs/a"; sorry, ~'), 'There is no run "runs/a"; sorry, ~');
  assertEquals(encodeGrpcMessage("50%\nö€"), "50%25%0A%C3%B6%E2%82%AC");
});

Deno.test("encodeGrpcMessage() is undone by decodeURIComponent(), and by decodeURI() of grpc-js", () => {
  for (const text of ["a/b?c=d&e;f%2Fg", "\u0000\u007f", "Grüße 🎉", "100%"]) {
    assertEquals(decodeURIComponent(encodeGrpcMessage(text)), text);
  }
  assertEquals(decodeURI(encodeGrpcMessage("a/b; 🎉")), "a/b; 🎉");
});
