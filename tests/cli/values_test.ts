import { assertEquals, assertThrows } from "@std/assert";
import { enumChoice } from "../../src/cli/enum_choice.ts";
import { UsageError } from "../../src/cli/errors.ts";
import {
  bigInteger,
  byteCount,
  choice,
  decimal,
  hostAndPort,
  imageSize,
  integer,
  listOf,
  text,
  trueOrFalse,
  type ValueKind,
} from "../../src/cli/values.ts";
import { RunState, RunStateSchema } from "../../src/gen/mod.ts";

function assertRejectsAll(kind: ValueKind<unknown>, texts: readonly string[], messageIncludes: string): void {
  for (const value of texts) assertThrows(() => kind.read(value), UsageError, messageIncludes);
}

Deno.test("integer() takes whole numbers in its range only", () => {
  const kind = integer("N", { minimum: 1, maximum: 256 });
  assertEquals(kind.read("1"), 1);
  assertEquals(kind.read("256"), 256);
  assertRejectsAll(kind, ["0", "257", "1.5", "1e2", "-1", "", " 3", "0x10", "NaN"], "whole number from 1 to 256");
});

Deno.test("integer() keeps to what an unsigned 32-bit field holds", () => {
  assertEquals(integer("N").read("4294967295"), 4294967295);
  assertRejectsAll(integer("N"), ["4294967296"], "must be a whole number from 0 to 4294967295, not");
});

Deno.test("byteCount() takes bytes and their binary units", () => {
  const values = ["0", "268435456", "256MiB", "1.5GiB", "2KiB", "1TiB"].map(byteCount().read);
  assertEquals(values, [0, 2 ** 28, 2 ** 28, 1.5 * 2 ** 30, 2048, 2 ** 40]);
  const texts = ["", "-1", "1.5", "1MB", "1 MiB", "1e3", "0.1KiB", "x"];
  assertRejectsAll(byteCount(), texts, "must be a number of bytes, such as 268435456, 256MiB or 1.5GiB, not");
});

Deno.test("bigInteger() takes 64-bit numbers exactly", () => {
  assertEquals(bigInteger("N").read("18446744073709551615"), 18446744073709551615n);
  assertRejectsAll(bigInteger("N"), ["18446744073709551616", "-1", "x", ""], "whole number of at least 0");
});

Deno.test("decimal() takes finite numbers from its minimum to below its bound", () => {
  const kind = decimal("X", { below: 1 });
  assertEquals(kind.read("1e-4"), 1e-4);
  assertEquals(kind.read("0"), 0);
  assertRejectsAll(kind, ["1", "-0.1", "", " ", "NaN", "Infinity", "0,1"], "number from 0 to below 1");
});

Deno.test("choice() names the choices", () => {
  assertEquals(choice(["f32", "mixed"]).read("mixed"), "mixed");
  assertEquals(choice(["f32", "mixed"]).placeholder, "f32|mixed");
  assertRejectsAll(choice(["f32", "mixed"]), ["f16", "F32", ""], "must be one of f32, mixed");
  assertEquals(trueOrFalse().read("false"), false);
});

Deno.test("enumChoice() takes a value of a .proto file in any case, as runs list shows it", () => {
  const kind = enumChoice(RunStateSchema);
  assertEquals([kind.read("paused"), kind.read("PAUSED")], [RunState.PAUSED, RunState.PAUSED]);
  assertRejectsAll(kind, ["unspecified", "RUN_STATE_PAUSED", ""], "must be one of queued, running");
});

Deno.test("listOf() reads each part", () => {
  assertEquals(listOf(integer("N")).read("80, 120"), [80, 120]);
  assertRejectsAll(listOf(integer("N")), ["80,", "80,x"], "whole number");
});

Deno.test("imageSize() reads height, width and channels", () => {
  assertEquals(imageSize().read("28x30x1"), { height: 28, width: 30, channels: 1 });
  assertEquals(imageSize().read("32x32"), { height: 32, width: 32, channels: 3 });
  assertRejectsAll(imageSize(), ["32", "0x32x3", "32x32x2", "axb", "32x32x3x1"], "such as 32x32x3");
});

Deno.test("hostAndPort() takes names, IPv4 and bracketed IPv6 addresses", () => {
  for (const value of ["127.0.0.1:50051", "localhost:0", "[::1]:65535", "gpu-1.example.org:443"]) {
    assertEquals(hostAndPort().read(value), value);
  }
  assertRejectsAll(
    hostAndPort(),
    ["50051", ":50051", "host", "host:", "host:65536", "::1:50051", "http://host:1", "host:1/x", "a b:1"],
    "must be HOST:PORT",
  );
});

Deno.test("text() refuses the empty text", () => {
  assertRejectsAll(text("NAME"), [""], "must not be empty");
});
