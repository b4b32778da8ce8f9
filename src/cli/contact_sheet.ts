/** A picture of a data set: a row of images a class, with the class's name before it. */
import { Buffer } from "node:buffer";

export interface SheetRow {
  readonly title: string;
  /** PNG files. */
  readonly images: readonly Uint8Array[];
}

/** Pixels. */
const GAP = 4;
const TITLE_WIDTH = 160;
const FONT_SIZE = 13;
/** Of a title that fits its width. */
const TITLE_CHARACTERS = 20;

/**
 * Lays images out in a grid.
 *
 * @param side of a cell; smaller images are enlarged to it without smoothing, so that their pixels can be seen
 * @returns a PNG file
 */
export async function drawContactSheet(rows: readonly SheetRow[], side: number): Promise<Uint8Array> {
  // Loaded where it is needed: no other command should wait for the native library.
  const { default: sharp } = await import("sharp");
  const columns = Math.max(1, ...rows.map(({ images }) => images.length));
  const pitch = side + GAP;
  const size = { width: TITLE_WIDTH + columns * pitch + GAP, height: Math.max(1, rows.length) * pitch + GAP };
  const cells = rows.flatMap(({ images }, row) =>
    images.map(async (image, column) => ({
      input: await sharp(image).resize(side, side, { fit: "contain", kernel: "nearest", background: "white" }).png()
        .toBuffer(),
      left: TITLE_WIDTH + GAP + column * pitch,
      top: GAP + row * pitch,
    }))
  );
  const titles = { input: Buffer.from(titlesSvg(rows, { ...size, pitch })), left: 0, top: 0 };
  const sheet = sharp({ create: { ...size, channels: 3, background: "white" } });
  return new Uint8Array(await sheet.composite([titles, ...await Promise.all(cells)]).removeAlpha().png().toBuffer());
}

interface SheetSize {
  readonly width: number;
  readonly height: number;
  /** From one row to the next. */
  readonly pitch: number;
}

function titlesSvg(rows: readonly SheetRow[], { width, height, pitch }: SheetSize): string {
  const texts = rows.map(({ title }, row) =>
    `<text x="${GAP}" y="${row * pitch + GAP + (pitch + FONT_SIZE) / 2 - GAP}">${escapeXml(shorten(title))}</text>`
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `font-family="sans-serif" font-size="${FONT_SIZE}">${texts.join("")}</svg>`;
}

function shorten(title: string): string {
  const characters = [...title];
  return characters.length <= TITLE_CHARACTERS ? title : `${characters.slice(0, TITLE_CHARACTERS - 1).join("")}…`;
}

/** XML has no way to write control characters at all. */
function escapeXml(text: string): string {
  return text.replace(/\p{Cc}/gu, " ").replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
