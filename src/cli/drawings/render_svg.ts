/** Drawings as SVG, by Vega, which needs no browser. */
import type { Spec } from "vega";

/**
 * The SVG of a Vega specification, as a file has it. Text is measured by an estimate of its characters' widths, for
 * there are no fonts here.
 */
export async function renderSvg(spec: Spec): Promise<string> {
  // Loading Vega takes a quarter of a second, which no other command should wait for.
  const { parse, View } = await import("vega");
  const view = new View(parse(spec), { renderer: "none" });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}
