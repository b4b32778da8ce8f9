import { assertEquals } from "@std/assert";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatFraction,
  formatLoss,
  formatRate,
  formatShape,
} from "../../src/cli/format.ts";
import { formatFields, formatTable } from "../../src/cli/table.ts";

Deno.test("formatCount() separates thousands, of 64-bit numbers too", () => {
  assertEquals(formatCount(269734), "269,734");
  assertEquals(formatCount(18446744073709551615n), "18,446,744,073,709,551,615");
});

Deno.test("formatLoss() keeps four significant digits and shows divergence", () => {
  assertEquals([2.3025851, 0.012345, 12345.6, 0, 1.23e-7].map(formatLoss), [
    "2.303",
    "0.01235",
    "12350",
    "0",
    "1.230e-7",
  ]);
  assertEquals([NaN, Infinity].map(formatLoss), ["NaN", "Infinity"]);
});

Deno.test("formatDuration() shows the two largest units", () => {
  assertEquals([0, 59.4, 59.6, 185, 3599.7, 8040].map(formatDuration), [
    "0s",
    "59s",
    "1m 00s",
    "3m 05s",
    "1h 00m",
    "2h 14m",
  ]);
});

Deno.test("formatBytes(), formatRate(), formatFraction() and formatShape() round for reading", () => {
  assertEquals([999, 1_083_000n, 5e12].map(formatBytes), ["999 B", "1.1 MB", "5.0 TB"]);
  assertEquals([5.214, 133.25, 1204.4].map(formatRate), ["5.21", "133.3", "1,204"]);
  assertEquals(formatFraction(0.97314), "97.31%");
  assertEquals(formatShape([32, 32, 3]), "32x32x3");
});

Deno.test("formatTable() makes columns as wide as their widest cell", () => {
  assertEquals(
    formatTable([{ title: "LAYER" }, { title: "N", align: "right" }], [["stem", "432"], ["größe", "1"]]),
    ["LAYER    N", "stem   432", "größe    1"],
  );
  assertEquals(formatTable([{ title: "A" }, { title: "B" }], []), ["A  B"]);
});

Deno.test("formatFields() puts values below each other", () => {
  assertEquals(formatFields([["loss", "0.5"], ["images", "3"]]), ["loss:   0.5", "images: 3"]);
});
