import type Sharp from "sharp";

/** Decoding and scaling hold whole images in memory, so only as many are under way as there are processors. */
const slots = navigator.hardwareConcurrency;
let used = 0;
const queue: (() => void)[] = [];

let library: Promise<typeof Sharp> | undefined;

/** Loaded at the first image: workers that only read packed pixels do without the native library. */
function loadLibrary(): Promise<typeof Sharp> {
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
  const sharp = await loadLibrary();
  if (used < slots) used++;
  else await new Promise<void>((resolve) => queue.push(resolve));
  try {
    return await run(sharp);
  } finally {
    const next = queue.shift();
    if (next) next();
    else used--;
  }
}
