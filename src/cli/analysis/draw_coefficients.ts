/** What networks learned for k, as one drawing: k, the effective step and the acceleration coefficient over the depth. */
import type { GroupMark, Mark, Scale, Spec } from "vega";
import type { BlockStep } from "../../gen/mod.ts";
import { colourLegend, colourScale, panel, panelGap, panelWidth } from "../drawings/panel.ts";
import { renderSvg } from "../drawings/render_svg.ts";

export interface LabelledBlocks {
  /** Stands in the legend, where there are several. */
  readonly label: string;
  readonly blocks: readonly BlockStep[];
}

type Quantity = "k" | "effective" | "acceleration";

/** One block of one network; those of one network and stage, with no other between, are joined by a line. */
interface Row {
  readonly label: string;
  readonly line: string;
  readonly step: number;
  readonly k: number;
  readonly minimum: number;
  readonly maximum: number;
  /** Null is not drawn. */
  readonly effective: number | null;
  readonly acceleration: number;
  readonly stable: boolean;
}

const heights = { k: 240, effective: 150, acceleration: 150 };
const effectiveTop = heights.k + panelGap;
const accelerationTop = effectiveTop + heights.effective + panelGap;

/** The drawing as SVG. Blocks without a k, which take steps of forward Euler, are left out. */
export function drawCoefficients(title: string, networks: readonly LabelledBlocks[]): Promise<string> {
  return renderSvg(coefficientsSpec(title, networks));
}

function coefficientsSpec(title: string, networks: readonly LabelledBlocks[]): Spec {
  const blocks = networks.flatMap((network) => network.blocks);
  const bars = blocks.some(({ k }) => k !== undefined && k.channels > 1) ? "; bars: the channels' range" : "";
  const subtitle = `shaded: zero-stable, -1 < k <= 1; hollow: not${bars}`;
  return {
    width: panelWidth,
    height: accelerationTop + heights.acceleration,
    padding: 8,
    background: "white",
    title: { text: title, subtitle, anchor: "start", offset: 12 },
    data: [
      { name: "blocks", values: networks.flatMap(rowsOf) },
      { name: "stages", values: stageStarts(networks) },
      { name: "stable", values: [{ from: -1, to: 1 }] },
    ],
    scales: [
      {
        name: "depth",
        type: "linear",
        range: "width",
        zero: false,
        domain: [0.5, Math.max(1, ...blocks.map(({ step }) => step)) + 0.5],
      },
      colourScale("colour", networks.map(({ label }) => label)),
    ],
    legends: networks.length > 1 ? [colourLegend("colour")] : [],
    marks: [
      quantityPanel("k", {
        y: 0,
        title: "k",
        domain: {
          fields: [
            ...["minimum", "maximum"].map((field) => ({ data: "blocks", field })),
            ...["from", "to"].map((field) => ({ data: "stable", field })),
          ],
        },
        below: [stableBand],
        above: [channelRange],
      }),
      quantityPanel("effective", { y: effectiveTop, title: "effective step 1 / (1 + k)", type: "symlog" }),
      quantityPanel("acceleration", { y: accelerationTop, title: "acceleration (1 - k) / 2" }),
    ],
  };
}

function rowsOf({ label, blocks }: LabelledBlocks, index: number): Row[] {
  let line = 0;
  let stage: number | undefined;
  return blocks.flatMap((block) => {
    const { k, step } = block;
    if (k === undefined || block.stage !== stage) line++;
    stage = block.stage;
    if (k === undefined) return [];
    const { mean, minimum, maximum, effectiveStep: effective = null, acceleration, zeroStable: stable } = k;
    return [{ label, line: `${index} ${line}`, step, k: mean, minimum, maximum, effective, acceleration, stable }];
  });
}

/** Where a stage of any of the networks starts, but for the first. */
function stageStarts(networks: readonly LabelledBlocks[]): { readonly step: number }[] {
  const starts = networks.flatMap(({ blocks }) =>
    blocks.filter(({ stage }, i) => i > 0 && stage !== blocks[i - 1].stage).map(({ step }) => step - 0.5)
  );
  return [...new Set(starts)].map((step) => ({ step }));
}

interface QuantityOptions {
  readonly y: number;
  readonly title: string;
  readonly type?: "symlog";
  readonly domain?: Scale["domain"];
  readonly below?: readonly Mark[];
  readonly above?: readonly Mark[];
}

function quantityPanel(quantity: Quantity, options: QuantityOptions): GroupMark {
  const { y, title, type, domain = { data: "blocks", field: quantity }, below = [], above = [] } = options;
  return panel({
    y,
    height: heights[quantity],
    horizontal: { scale: "depth", title: "block", tickMinStep: 1 },
    vertical: { title, type, domain },
    marks: [...below, stageRules, lines(quantity), ...above, points(quantity)],
  });
}

const stableBand: Mark = {
  type: "rect",
  from: { data: "stable" },
  encode: {
    enter: {
      x: { value: 0 },
      width: { value: panelWidth },
      y: { scale: "y", field: "to" },
      y2: { scale: "y", field: "from" },
      fill: { value: "#e8f2e8" },
    },
  },
};

const stageRules: Mark = {
  type: "rule",
  from: { data: "stages" },
  encode: {
    enter: {
      x: { scale: "depth", field: "step" },
      y: { value: 0 },
      y2: { signal: "height" },
      stroke: { value: "#888" },
      strokeDash: { value: [4, 4] },
    },
  },
};

/** Of networks whose channels have a k each. */
const channelRange: Mark = {
  type: "rule",
  from: { data: "blocks" },
  encode: {
    enter: {
      x: { scale: "depth", field: "step" },
      y: { scale: "y", field: "minimum" },
      y2: { scale: "y", field: "maximum" },
      stroke: { scale: "colour", field: "label" },
      strokeOpacity: { value: 0.5 },
    },
  },
};

function lines(quantity: Quantity): Mark {
  return {
    type: "group",
    from: { facet: { name: "line", data: "blocks", groupby: "line" } },
    marks: [{
      type: "line",
      from: { data: "line" },
      encode: {
        enter: {
          x: { scale: "depth", field: "step" },
          y: { scale: "y", field: quantity },
          defined: { signal: `isValid(datum.${quantity})` },
          stroke: { scale: "colour", field: "label" },
          strokeWidth: { value: 1.5 },
        },
      },
    }],
  };
}

function points(quantity: Quantity): Mark {
  return {
    type: "symbol",
    from: { data: "blocks" },
    encode: {
      enter: {
        x: { scale: "depth", field: "step" },
        y: { scale: "y", field: quantity },
        stroke: { scale: "colour", field: "label" },
        fill: [{ test: "datum.stable", scale: "colour", field: "label" }, { value: "white" }],
        size: { value: 36 },
        opacity: { signal: `isValid(datum.${quantity}) ? 1 : 0` },
      },
    },
  };
}
