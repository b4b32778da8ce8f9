/** The state dicts that tests/golden/state_dicts.py wrote, and the images that it gave their networks. */
import { type ModelSpec, readSafetensors } from "../../src/models/mod.ts";
import type { SafetensorsFile } from "../../src/models/checkpoints/safetensors.ts";
import { type GoldenTensor, loadGolden } from "./golden.ts";

export interface StateDict {
  readonly name: string;
  readonly model: ModelSpec;
  readonly classes: number;
}

const stage = { block: "bottleneck", blocks: 2, groups: 1 } as const;

export const stateDicts: readonly StateDict[] = [
  { name: "lm_resnet_20", model: { name: "lm-resnet-20" }, classes: 10 },
  {
    name: "resnet",
    model: {
      name: "narrow-resnet",
      activation: "post",
      network: { stem: "large", stemChannels: 8, stages: [{ ...stage, channels: 16 }, { ...stage, channels: 32 }] },
    },
    classes: 6,
  },
];

export function stateDictPath(name: string): URL {
  return new URL(`../golden/state_dict_${name}.safetensors`, import.meta.url);
}

export async function readStateDictFile(name: string): Promise<SafetensorsFile> {
  return readSafetensors(await Deno.readFile(stateDictPath(name)));
}

/** NHWC bytes. */
export async function imagesOf(name: string): Promise<GoldenTensor> {
  return (await loadGolden("state_dicts")).nhwc(`${name}.images`);
}

/** NHWC, as the networks take them. */
export async function normalisedImages(name: string): Promise<GoldenTensor> {
  const { shape, data } = await imagesOf(name);
  const { mean, standardDeviation } = await normalisation();
  return { shape, data: data.map((value, i) => (value / 255 - mean[i % 3]) / standardDeviation[i % 3]) };
}

export async function normalisation(): Promise<{ mean: number[]; standardDeviation: number[] }> {
  const { mean, standardDeviation } = (await loadGolden("state_dicts")).about;
  return { mean: mean as number[], standardDeviation: standardDeviation as number[] };
}
