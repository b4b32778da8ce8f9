import { assertEquals } from "@std/assert";
import { bucketFor } from "../../src/engine/inference.ts";

Deno.test("bucketFor() wastes no more than half a batch", () => {
  const buckets = [1, 4, 16, 64, 256];
  const chosen = [1, 2, 3, 5, 7, 8, 16, 17, 32, 64, 65, 127, 128, 256, 300].map((left) => bucketFor(buckets, left));
  assertEquals(chosen, [1, 4, 4, 4, 4, 16, 16, 16, 64, 64, 64, 64, 256, 256, 256]);
  assertEquals(bucketFor([1, 4], 100), 4);
});
