import { tuneModes } from "./local.ts";
import { defaulting } from "./options.ts";
import { choice } from "./values.ts";

export const tuneOption = defaulting(
  choice(tuneModes),
  "auto",
  "Whether to measure kernels and keep the fastest; auto measures on hardware, not on software Vulkan",
);
