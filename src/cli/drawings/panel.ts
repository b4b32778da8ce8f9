/** What drawings of several panels, one above the other, have in common. */
import type { GroupMark, Legend, Mark, Scale } from "vega";

export const panelWidth = 720;
export const panelGap = 36;

export interface PanelOptions {
  /** In pixels, from the top of the drawing. */
  readonly y: number;
  readonly height: number;
  /** The drawing's scale of what is to the right, by its name. */
  readonly horizontal: { readonly scale: string; readonly title: string; readonly tickMinStep?: number };
  /** The panel's own scale, which its marks call "y". */
  readonly vertical: { readonly title: string; readonly type?: "linear" | "symlog"; readonly domain: Scale["domain"] };
  readonly marks: Mark[];
}

/** A frame with a grid and two axes. */
export function panel({ y, height, horizontal, vertical, marks }: PanelOptions): GroupMark {
  const { title, type = "linear", domain } = vertical;
  const grid = { grid: true, gridOpacity: 0.4 };
  return {
    type: "group",
    encode: { enter: { y: { value: y }, width: { value: panelWidth }, height: { value: height } } },
    // Which the grid's lines are as long as.
    signals: [{ name: "height", value: height }],
    scales: [{ name: "y", type, range: [height, 0], nice: true, zero: false, domain }],
    axes: [
      { orient: "bottom", ...horizontal, ...grid },
      { orient: "left", scale: "y", title, labelOverlap: "greedy", ...grid },
    ],
    marks,
  };
}

/** Colours by label, of which there may be many. */
export function colourScale(name: string, labels: readonly string[]): Scale {
  const domain = [...new Set(labels)];
  return { name, type: "ordinal", range: { scheme: domain.length > 10 ? "tableau20" : "tableau10" }, domain };
}

/** The labels of a scale of colours, as long as they are. */
export function colourLegend(scale: string): Legend {
  return { stroke: scale, symbolType: "stroke", symbolStrokeWidth: 3, orient: "right", labelLimit: 0 };
}
