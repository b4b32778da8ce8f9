import { GpuError } from "../errors.ts";

/** Features that `adapter.features` may hide although the device grants them. */
const WANTED_FEATURES: readonly GPUFeatureName[] = ["shader-f16", "timestamp-query", "subgroups" as GPUFeatureName];

/** What adapter was found, in plain values. */
export interface AdapterDescription {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** Whether it is a software implementation, such as Mesa's llvmpipe. */
  readonly software: boolean;
  /** Lanes of every subgroup; 0 where subgroup operations are not granted or the size varies. */
  readonly subgroupSize: number;
  /** Granted by the device. */
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

export interface OpenedAdapter {
  readonly device: GPUDevice;
  readonly description: AdapterDescription;
}

/**
 * Requests the adapter with its own limits (WebGPU's defaults are far below) and the features that it grants.
 * @throws {GpuError} `unavailable` when no driver can be loaded.
 */
export async function openAdapter(): Promise<OpenedAdapter> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new GpuError(
      "unavailable",
      "Cannot find a Vulkan driver: install the GPU's own, or Mesa's software one with " +
        "`apt-get install mesa-vulkan-drivers libvulkan1`",
    );
  }
  const limits = readLimits(adapter.limits);
  const features = await grantedFeatures(limits);
  // An adapter gives one device; asking for features consumed the probes, so a fresh one is requested.
  const fresh = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!fresh) throw new GpuError("unavailable", "The Vulkan driver went away while it was being opened");
  const device = await fresh.requestDevice({ requiredFeatures: features, requiredLimits: limits });
  const { vendor, architecture, device: name, description } = adapter.info;
  return {
    device,
    description: {
      vendor,
      architecture,
      device: name,
      description,
      software: adapter.info.isFallbackAdapter || /llvmpipe|lavapipe|swiftshader|software/i.test(description),
      subgroupSize: fixedSubgroupSize(device, adapter),
      features: [...device.features].sort(),
      limits: readLimits(device.limits),
    },
  };
}

function fixedSubgroupSize(device: GPUDevice, { info }: GPUAdapter): number {
  const granted = device.features.has("subgroups" as GPUFeatureName);
  return granted && info.subgroupMinSize === info.subgroupMaxSize ? info.subgroupMinSize : 0;
}

function readLimits(limits: GPUSupportedLimits): Record<string, number> {
  const values: Record<string, number> = {};
  for (const name in limits) {
    const value: unknown = Reflect.get(limits, name);
    if (typeof value === "number") values[name] = value;
  }
  return values;
}

/** Asks for each feature by itself: a refusal of one must not lose the others. */
async function grantedFeatures(limits: Record<string, number>): Promise<GPUFeatureName[]> {
  const granted: GPUFeatureName[] = [];
  for (const feature of WANTED_FEATURES) {
    const probe = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    try {
      const device = await probe?.requestDevice({ requiredFeatures: [feature], requiredLimits: limits });
      if (!device) continue;
      granted.push(feature);
      device.destroy();
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
    }
  }
  return granted;
}
