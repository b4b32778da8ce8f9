/** How an image of any size becomes a network's input where nothing is left to chance: in evaluation and inference. */

/**
 * `stretch`: the whole image is scaled to the input's height and width, whatever its proportions. `center_crop`: the
 * image is scaled, proportions kept, until it just covers the input's sides divided by `ratio`, and its centre is cut
 * out: at 224 pixels and 0.875 the shorter side becomes 256 (Krizhevsky et al. 2012; torchvision's
 * `Resize(256), CenterCrop(224)`).
 */
export type Preprocessing =
  | { readonly method: "stretch" }
  | { readonly method: "center_crop"; readonly ratio: number };

export const STRETCH: Preprocessing = { method: "stretch" };
export const CENTER_CROP = { method: "center_crop", ratio: 0.875 } as const satisfies Preprocessing;

/** Height and width of an image as it is seen: in pixels, the orientation applied. */
export interface Extent {
  readonly height: number;
  readonly width: number;
}

/** A scaled image, and where the input lies in it. */
export interface Frame {
  readonly scaled: Extent;
  readonly top: number;
  readonly left: number;
}

/** Where the input lies in an image. Sides are rounded as torchvision and timm round them. */
export function frameOf(preprocessing: Preprocessing, image: Extent, input: Extent): Frame {
  const { height, width } = input;
  if (preprocessing.method === "stretch") return { scaled: { height, width }, top: 0, left: 0 };
  const cover = {
    height: Math.floor(height / preprocessing.ratio),
    width: Math.floor(width / preprocessing.ratio),
  };
  const isWider = image.width * cover.height >= image.height * cover.width;
  const scaled = isWider
    ? { height: cover.height, width: Math.max(width, Math.floor(cover.height * image.width / image.height)) }
    : { height: Math.max(height, Math.floor(cover.width * image.height / image.width)), width: cover.width };
  return { scaled, top: roundHalfEven((scaled.height - height) / 2), left: roundHalfEven((scaled.width - width) / 2) };
}

/** As Python rounds. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
