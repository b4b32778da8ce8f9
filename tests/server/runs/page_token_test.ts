import { assertEquals, assertThrows } from "@std/assert";
import { InvalidFieldError } from "../../../src/server/errors.ts";
import { decodePageToken, encodePageToken } from "../../../src/server/runs/page_token.ts";

Deno.test("decodePageToken() undoes encodePageToken()", () => {
  for (const before of [1, 35, 36, 123_456_789, Number.MAX_SAFE_INTEGER]) {
    assertEquals(decodePageToken(encodePageToken(before)), before);
  }
  assertEquals(decodePageToken(""), undefined);
});

Deno.test("decodePageToken() refuses tokens it has not given", () => {
  for (const token of ["5", "zzz", "%%%", btoa("5"), btoa("p1-"), btoa("p1--1"), btoa("p1-zzzzzzzzzzz"), "é", " "]) {
    const error = assertThrows(() => decodePageToken(token), InvalidFieldError, 'Field "page_token" must be');
    assertEquals(error.kind, "invalid-argument");
  }
});
