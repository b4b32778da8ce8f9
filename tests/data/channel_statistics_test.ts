import { assertAlmostEquals, assertEquals } from "@std/assert";
import { ChannelStatistics } from "../../src/data/channel_statistics.ts";

Deno.test("ChannelStatistics gives mean and deviation a channel, however the pixels come", () => {
  const pixels = Uint8Array.from({ length: 3 * 1000 }, (_, i) => i * i * (1 + i % 3) % 256);
  const whole = new ChannelStatistics(3);
  whole.add(pixels);
  const parts = new ChannelStatistics(3);
  parts.add(pixels.subarray(1500));
  parts.add(pixels.subarray(0, 1500));
  assertEquals(parts.result(), whole.result());
  for (let channel = 0; channel < 3; channel++) {
    const values = Array.from({ length: 1000 }, (_, i) => pixels[3 * i + channel] / 255);
    const mean = values.reduce((sum, value) => sum + value, 0) / 1000;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 1000);
    assertAlmostEquals(whole.result().mean[channel], mean, 1e-12);
    assertAlmostEquals(whole.result().standardDeviation[channel], deviation, 1e-12);
  }
});

Deno.test("ChannelStatistics gives a constant channel a deviation to divide by", () => {
  const statistics = new ChannelStatistics(1);
  statistics.add(new Uint8Array(10).fill(51));
  assertEquals(statistics.result(), { mean: [0.2], standardDeviation: [1 / 255] });
});
