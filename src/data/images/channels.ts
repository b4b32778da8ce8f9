/**
 * Turns pixels of one channel count into another: grey is repeated, colour becomes ITU-R BT.601 luma,
 * 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point (as Pillow's mode "L" has it, so R = G = B = v gives v).
 *
 * @param pixels channels last
 * @returns the same array where nothing is to be done
 */
export function convertChannels(
  pixels: Uint8Array,
  { from, to }: { readonly from: 1 | 3; readonly to: 1 | 3 },
): Uint8Array {
  if (from === to) return pixels;
  const count = pixels.length / from;
  const result = new Uint8Array(count * to);
  if (from === 1) {
    for (let i = 0; i < count; i++) result.fill(pixels[i], 3 * i, 3 * i + 3);
  } else {
    for (let i = 0; i < count; i++) {
      result[i] = (19595 * pixels[3 * i] + 38470 * pixels[3 * i + 1] + 7471 * pixels[3 * i + 2] + 0x8000) >> 16;
    }
  }
  return result;
}
