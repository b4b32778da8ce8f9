/** The data benchmark on a small network. */
import { assert, assertEquals } from "@std/assert";
import { benchData } from "../../bench/data.ts";

const common = {
  model: "lm-resnet-14",
  batchSize: 4,
  image: { height: 28, width: 28, channels: 3 },
  classes: 10,
  runs: 1,
  signal: new AbortController().signal,
  tune: "off",
  dataDir: ".",
  warn: () => {},
} as const;

Deno.test("benchData() tells images a second of readers and streams, and the share of steps spent waiting", async () => {
  const wanted = ["import 500x375 to 224, Parquet", "4 in flight", "streamed"];
  const matches = (name: string) => wanted.some((part) => name.includes(part));
  const measurements = await Array.fromAsync(benchData({ ...common, matches }));
  const [first] = measurements;
  assertEquals([first.case, first.unit], ["import 500x375 to 224, Parquet", "images/s"]);
  const alone = measurements.find(({ case: name }) => name.startsWith("decoder alone"));
  assert(alone && alone.median > 0);
  const stream = measurements.find(({ case: name }) => name.startsWith("stream") && name.includes("random crop"));
  assert(Number(stream?.details?.share_of_decoder) > 0.2, JSON.stringify(stream));
  const waiting = measurements.at(-1);
  assertEquals([waiting?.case, waiting?.unit], ["waiting for data, lm-resnet-14 batch 4 28x28, streamed", "of a step"]);
  assert(waiting && waiting.median >= 0 && waiting.median < 1);
});

Deno.test("benchData() measures nothing where no case is asked for", async () => {
  assertEquals(await Array.fromAsync(benchData({ ...common, matches: () => false })), []);
});
