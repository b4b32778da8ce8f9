import { assert, assertEquals } from "@std/assert";
import { balancedOrder } from "../../src/data/class_order.ts";

Deno.test("balancedOrder() goes round where classes are equal", () => {
  const { classes, indices } = balancedOrder([2, 2, 2]);
  assertEquals(Array.from(classes), [0, 1, 2, 0, 1, 2]);
  assertEquals(Array.from(indices), [0, 0, 0, 1, 1, 1]);
});

Deno.test("balancedOrder() gives any prefix each class's share, within one image, and each image once", () => {
  const counts = [1, 50, 7, 0, 300, 33];
  const total = 391;
  const { classes, indices } = balancedOrder(counts);
  assertEquals(classes.length, total);
  const seen = counts.map(() => 0);
  classes.forEach((label, i) => {
    assertEquals(indices[i], seen[label]++);
    counts.forEach((count, other) => {
      const share = count * (i + 1) / total;
      assert(Math.abs(seen[other] - share) < counts.length / 2, `class ${other} at ${i}: ${seen[other]} of ${share}`);
    });
  });
  assertEquals(seen, counts);
});
