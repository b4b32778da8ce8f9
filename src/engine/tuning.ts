import project from "../../deno.json" with { type: "json" };
import { type GpuDevice, Tuner, type TuningProgress } from "../gpu/mod.ts";
import type { EngineContext } from "./context.ts";
import type { TuneMode } from "./messages.ts";
import { eventLoopTurn, paced } from "./pace.ts";
import type { Program } from "./programs.ts";
import { planOptions } from "./runner.ts";

export interface TuningOptions {
  readonly tune: TuneMode;
  /** Choices are kept in its folder `tuning`. */
  readonly dataDir: string;
  /** Takes what should be logged. */
  readonly warn: (message: string) => void;
}

/**
 * Opens the tuner with the choices of the data folder; undefined where kernels are not to be measured. `auto` measures
 * on hardware: the built-in choices were measured on software Vulkan, where trying others means minutes of compiling.
 */
export async function openTuner(
  device: GpuDevice,
  { tune, dataDir, warn }: TuningOptions,
): Promise<Tuner | undefined> {
  const measures = tune === "on" || (tune === "auto" && !device.adapter.software);
  if (!measures) return undefined;
  return await Tuner.open(device, { folder: `${dataDir}/tuning`, version: project.version, warn });
}

/**
 * Measures the kernels that the programs need and that were not measured before; plan them afterwards.
 * @throws the signal's reason when aborted.
 */
export async function* tunePrograms(
  { device, tuner }: Pick<EngineContext, "device" | "tuner">,
  programs: readonly Program[],
  signal: AbortSignal,
): AsyncGenerator<TuningProgress> {
  const graphs = programs.map((program) => ({ graph: program.graph, options: planOptions(device, program) }));
  for await (const progress of tuner?.tune(graphs, paced(signal)) ?? []) {
    signal.throwIfAborted();
    yield progress;
    await eventLoopTurn();
  }
}
