/** Drop-path: what is left of joins, and how often. */
import { assert, assertEquals } from "@std/assert";
import { Graph } from "../../../src/gpu/mod.ts";
import { buildNetwork, type DropPath } from "../../../src/models/mod.ts";
import { joinWeights } from "../../../src/models/stochastic/drop_path.ts";

const STEPS = 4000;
const steps = Array.from({ length: STEPS }, (_, step) => ({ seed: 5, step }));

function assertShare(count: number, of: number, share: number, what: string): void {
  const deviation = Math.sqrt(of * share * (1 - share));
  assert(Math.abs(count - of * share) <= 4 * deviation, `${what}: ${count} of ${of}, not ${share}`);
}

Deno.test("joinWeights() of local steps drops each input with its rate, and never both", () => {
  for (const rate of [0, 0.15, 0.5]) {
    const choices = { rate, globalShare: 0 };
    const weights = steps.map((key) => joinWeights(choices, { column: 2, columns: 3, place: 9 }, key));
    for (const { short, long } of weights) assertEquals([short + long, short >= 0, long >= 0], [1, true, true]);
    const both = weights.filter(({ short }) => short === 1 / 2).length;
    const onlyShort = weights.filter(({ short }) => short === 1).length;
    assertShare(both, STEPS, (1 - rate) ** 2, "both are left");
    // Where both would be lost, one of them is kept, by equal chance.
    assertShare(onlyShort, STEPS, rate * (1 - rate) + rate * rate / 2, "the short one alone is left");
  }
});

Deno.test("joinWeights() of global steps leaves one column of all joins, each as often", () => {
  const columns = 3;
  const choices = { rate: 0.15, globalShare: 1 };
  const chosen = steps.map((key) => {
    const shortAt = [2, 3].map((column) => joinWeights(choices, { column, columns, place: column }, key));
    for (const { short, long } of shortAt) assertEquals(Math.abs(short - long), 1);
    const other = joinWeights(choices, { column: 3, columns, place: 700 }, key);
    assertEquals(other, shortAt[1], "another block's join");
    // The short input of column 3's join is column 3; where no short one is left, it is column 1.
    return shortAt[1].short === 1 ? 3 : shortAt[0].short === 1 ? 2 : 1;
  });
  for (const column of [1, 2, 3]) {
    assertShare(chosen.filter((value) => value === column).length, STEPS, 1 / columns, `column ${column}`);
  }
});

Deno.test("joinWeights() makes as many steps global as was asked for", () => {
  // Nothing is dropped in local steps, so that halves tell them.
  const choices: DropPath = { rate: 0, globalShare: 0.25 };
  const weights = steps.map((key) => joinWeights(choices, { column: 2, columns: 2, place: 0 }, key));
  assertShare(weights.filter(({ short }) => short !== 1 / 2).length, STEPS, 0.25, "global steps");
});

Deno.test("blockJoins() has no weight for what is part of a path that is left out", () => {
  const graph = new Graph({ training: true });
  const images = graph.source("images", [1, 8, 8, 3]);
  const stochastic = { dropPath: { rate: 0.5, globalShare: 0 } };
  buildNetwork(graph, { name: "fractalnet-8", columns: 3 }, images, { classes: 10, stochastic });
  // Of the first block: its join, and the two within the long path.
  const [, long, ...within] = graph.draws.slice(0, 6);
  let closed = 0;
  for (const key of steps.slice(0, 100)) {
    const sum = within.map((draw) => draw.sample(key)).reduce((a, b) => a + b);
    assertEquals(sum, long.sample(key) === 0 ? 0 : 2);
    if (sum === 0) closed++;
  }
  assert(closed > 10 && closed < 90);
});
