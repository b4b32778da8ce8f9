import { clearHaloSource } from "../../wgsl/mod.ts";
import type { ImageBuffer, Kernel } from "./kernel.ts";

/** Zeroes the border of an activation whose writer fills the interior alone. */
export function clearHaloKernel(image: ImageBuffer, batch: number): Kernel {
  const { code, workgroups } = clearHaloSource(image, batch);
  return {
    label: `clear_halo ${image.height}x${image.width}x${image.channels}`,
    code,
    bindings: [{ buffer: image.buffer, access: "read_write" }],
    workgroups,
  };
}
