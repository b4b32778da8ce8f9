import type Sharp from "sharp";
import { Slots } from "../slots.ts";

/** Decoding and scaling hold whole images in memory, so only as many are under way as there are processors. */
const slots = new Slots(navigator.hardwareConcurrency);

let library: Promise<typeof Sharp> | undefined;

/**
 * Loaded at the first image: workers that only read packed pixels do without the native library. Whoever uses it by
 * this bounds what is under way by himself.
 */
export function imageLibrary(): Promise<typeof Sharp> {
  library ??= import("sharp").then(({ default: sharp }) => {
    // We run several images side by side instead, and never see one twice.
    sharp.concurrency(1);
    sharp.cache(false);
    return sharp;
  });
  return library;
}

/** Runs a task of the image library when a slot is free; the library works on threads of its own. */
export async function withImageLibrary<T>(run: (sharp: typeof Sharp) => Promise<T>): Promise<T> {
  const sharp = await imageLibrary();
  using _slot = await slots.take();
  return await run(sharp);
}
