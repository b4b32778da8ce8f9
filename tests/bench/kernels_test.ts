import { assert, assertEquals, assertRejects } from "@std/assert";
import { conv2dCases } from "../../bench/conv2d_cases.ts";
import { fusedConv2dCases } from "../../bench/fused_conv2d_cases.ts";
import { type KernelCase, measure, WrongKernelError } from "../../bench/kernels.ts";
import { memoryBoundCases } from "../../bench/memory_bound_cases.ts";
import { GpuTimer } from "../../bench/timer.ts";
import { GpuDevice } from "../../src/gpu/mod.ts";

const ceilings = { multiplyAdds: 100, copyBandwidth: 10 };

function caseNamed(part: string): KernelCase {
  const found = [...conv2dCases(2), ...fusedConv2dCases(2), ...memoryBoundCases(2)].find(({ name }) =>
    name.includes(part)
  );
  assert(found, `no case has "${part}" in its name`);
  return found;
}

Deno.test("measure() checks a kernel, then tells its shares of the ceilings", async (t) => {
  const device = await GpuDevice.open();
  const timer = await GpuTimer.create(device);
  const bench = { device, timer, ceilings, runs: 2 };
  try {
    await t.step("of a convolution", async () => {
      for (const direction of ["forward", "backward_input", "backward_weight"]) {
        const line = await measure(caseNamed(`${direction} 3x3 24->40`), bench);
        assertEquals([line.benchmark, line.unit, line.runs], ["kernels", "GFLOP/s", 2]);
        assert(line.median > 0 && Number(line.details?.relative_error) < 1e-5);
        assertEquals(line.details?.share_of_ceiling, line.median / ceilings.multiplyAdds);
        assert(Number(line.details?.share_of_bandwidth) > 0);
      }
    });

    await t.step("of a convolution with what is taken into its kernel", async () => {
      for (const name of ["conv2d forward, lm_step 3x3 64", "conv2d backward_weight 3x3 64"]) {
        const line = await measure(caseNamed(`batch_norm relu, ${name}`), bench);
        assertEquals(line.unit, "GFLOP/s");
        assert(Number(line.details?.relative_error) < 1e-5);
      }
    });

    await t.step("of f16", async () => {
      for (const direction of ["forward", "backward_input", "backward_weight"]) {
        const kernel = conv2dCases(2).find(({ name }) =>
          name.includes(`${direction} 3x3 64->64`) && name.endsWith("f16")
        );
        assert(kernel?.needs === "shader-f16");
        if (!device.adapter.features.includes(kernel.needs)) continue;
        const error = Number((await measure(kernel, bench)).details?.relative_error);
        // Rounded, so f16 was stored.
        assert(error < 1e-3 && error > 1e-5, `${direction}: ${error}`);
      }
    });

    await t.step("of what moves bytes", async () => {
      for (const name of ["batch_norm relu forward 16", "batch_norm relu backward 16", "lm_step 16"]) {
        const line = await measure(caseNamed(name), bench);
        assertEquals(line.unit, "GB/s");
        assertEquals(line.details?.share_of_bandwidth, line.median / ceilings.copyBandwidth);
      }
    });

    await t.step("by either clock", async () => {
      const kernel = caseNamed("batch_norm relu forward 512");
      const byStamps = await measure(kernel, bench);
      const byWall = await measure(kernel, { ...bench, timer: GpuTimer.byWallClock(device) });
      assertEquals(byWall.details?.clock, "wall clock");
      assert(byStamps.median > 0 && byWall.median > 0);
    });

    await t.step("and fails for a wrong one, by name and error", async () => {
      const right = caseNamed("forward 3x3 24->40");
      const wrong: KernelCase = {
        name: "conv2d that forgets",
        async prepare(host) {
          const prepared = await right.prepare(host);
          // What is compared with the reference, and no longer what was computed from.
          prepared.run.parameter("conv.weight").fill(1);
          return prepared;
        },
      };
      const error = await assertRejects(() => measure(wrong, bench), WrongKernelError, "conv2d that forgets");
      assert(error.error > 0.1);
    });
  } finally {
    timer.destroy();
    device.destroy();
  }
});
