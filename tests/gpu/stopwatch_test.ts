import { assert } from "@std/assert";
import { driverFiles, Stopwatch } from "../../src/gpu/device/mod.ts";
import { testDevice } from "../support/graph_runner.ts";

Deno.test("Stopwatch tells more for more work, and about nothing for none", async () => {
  const device = await testDevice();
  const stopwatch = await Stopwatch.create(device);
  try {
    const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const [from, to] = [device.createBuffer("from", 2 ** 23, usage), device.createBuffer("to", 2 ** 23, usage)];
    const copies = (count: number) =>
      stopwatch.time((encoder) => {
        for (let i = 0; i < count; i++) encoder.copyBufferToBuffer(from, 0, to, 0, 2 ** 23);
      });
    await copies(1);
    const none = await copies(0);
    const much = await copies(64);
    assert(none > 0 && much > 2 * none, `${much} ms for 64 copies, ${none} ms for none`);
    [from, to].forEach((buffer) => buffer.destroy());
  } finally {
    stopwatch.destroy();
  }
});

Deno.test("driverFiles() names the loaded driver with what tells its version, the same each time", async () => {
  await testDevice();
  const files = driverFiles();
  assert(files.length > 0);
  if (Deno.build.os === "linux") {
    assert(files.every((file) => /^lib\S+\.so\S*, \d+ bytes of \d{4}-\d\d-\d\dT/.test(file)), files.join("; "));
  }
  assert(files.join() === driverFiles().join());
});
