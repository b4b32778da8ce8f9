/** What the command line does in its own process: the server, the doctor, benchmarks, the demo's example images. */
import type { BenchMeasurement, DoctorCheck, DoctorReport, ExampleImage, LocalCommands } from "./cli/mod.ts";

const EXAMPLES = 10;

/** Modules are loaded by the command that needs them, so that client commands start fast. */
export function localCommands(options: { readonly version: string; readonly dataDir: string }): LocalCommands {
  return {
    async serve(serveOptions) {
      const { assertSupportedDeno, startServer } = await import("./server/mod.ts");
      const { startEngine } = await import("./engine/mod.ts");
      assertSupportedDeno(Deno.version.deno);
      return await startServer({
        ...serveOptions,
        engine: (dataDir, warn) => startEngine({ dataDir, warn, tune: serveOptions.tune }),
      });
    },
    async createToken(name, scope) {
      const { createToken } = await import("./server/mod.ts");
      return createToken(name, scope);
    },
    doctor: () => examine(options.version),
    async *bench(kind, { filter, ...benchOptions }): AsyncGenerator<BenchMeasurement> {
      const matches = (name: string) => filter === undefined || name.includes(filter);
      const measured = { ...benchOptions, matches, dataDir: options.dataDir, warn: benchOptions.note };
      if (kind === "rpc") {
        const { benchRpc } = await import("../bench/rpc.ts");
        yield* benchRpc({ ...measured, serve: this.serve });
        return;
      }
      if (kind === "data") {
        const { benchData } = await import("../bench/data.ts");
        yield* benchData(measured);
        return;
      }
      if (kind === "kernels") {
        const { benchKernels } = await import("../bench/kernels.ts");
        yield* benchKernels(measured);
        return;
      }
      const { benchInfer, benchTrain } = await import("../bench/network.ts");
      const run = kind === "train" ? benchTrain : benchInfer;
      yield* run(measured);
    },
    exampleImages: (folder) => writeExamples(folder, options.dataDir),
  };
}

/** One test digit of each class as a PNG file. */
async function writeExamples(folder: string, dataDir: string): Promise<ExampleImage[]> {
  const { DatasetRegistry, encodePng } = await import("./data/mod.ts");
  const registry = new DatasetRegistry(dataDir);
  const dataset = await registry.describe("mnist");
  const { pixels, labels } = await registry.load("mnist", "test");
  const imageBytes = dataset.height * dataset.width * dataset.channels;
  const examples: ExampleImage[] = [];
  for (let label = 0; label < EXAMPLES; label++) {
    const index = labels.indexOf(label);
    const path = `${folder}/digit-${label}.png`;
    const image = pixels.subarray(index * imageBytes, (index + 1) * imageBytes);
    await Deno.writeFile(path, await encodePng(image, dataset));
    examples.push({ path, label: dataset.classNames[label] });
  }
  return examples;
}

async function examine(version: string): Promise<DoctorReport> {
  const { GpuDevice, GpuError } = await import("./gpu/mod.ts");
  const { pinnedVersion } = await import("./server/mod.ts");
  const { os, arch } = Deno.build;
  const report = { version, denoVersion: Deno.version.deno, platform: `${os} ${arch}` };
  const deno: DoctorCheck = Deno.version.deno === pinnedVersion
    ? { name: "deno", status: "ok", message: `the pinned version ${pinnedVersion}` }
    : {
      name: "deno",
      status: "failed",
      message: `version ${Deno.version.deno}; the server runs on ${pinnedVersion} alone`,
      remedy: "start it through ./multistep",
    };
  try {
    const device = await GpuDevice.open();
    const { adapter } = device;
    device.destroy();
    const gpu: DoctorCheck = adapter.software
      ? {
        name: "adapter",
        status: "warning",
        message: "software Vulkan on the CPU: it works, slowly",
        remedy: "install the driver of the GPU, if there is one",
      }
      : { name: "adapter", status: "ok", message: adapter.description || adapter.device };
    return { ...report, adapter, checks: [deno, gpu] };
  } catch (error) {
    if (!(error instanceof GpuError)) throw error;
    const gpu: DoctorCheck = {
      name: "adapter",
      status: "failed",
      message: error.message,
      remedy: "apt-get install mesa-vulkan-drivers libvulkan1",
    };
    return { ...report, checks: [deno, gpu] };
  }
}
