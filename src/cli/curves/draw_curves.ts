/** Curves of several runs as one drawing: loss above, accuracy below, over the epochs. */
import type { GroupMark, Mark, Spec } from "vega";
import { colourLegend, colourScale, panel, panelGap, panelWidth } from "../drawings/panel.ts";
import { renderSvg } from "../drawings/render_svg.ts";
import type { Curve, CurvePoint } from "./read_curve.ts";

export interface LabelledCurve {
  /** Stands in the legend; curves of one label have one colour. */
  readonly label: string;
  readonly curve: Curve;
}

const panelHeight = 260;

type Quantity = "loss" | "top1";

/** One point of one line; lines are told apart by `line`. */
interface Row {
  readonly label: string;
  readonly line: string;
  readonly epoch: number;
  readonly loss: number;
  /** In percent. */
  readonly top1: number;
}

/** The drawing as SVG. Training is a thin line, the test split a thick one. */
export function drawCurves(title: string, curves: readonly LabelledCurve[]): Promise<string> {
  return renderSvg(curvesSpec(title, curves));
}

function curvesSpec(title: string, curves: readonly LabelledCurve[]): Spec {
  return {
    width: panelWidth,
    height: 2 * panelHeight + panelGap,
    padding: 8,
    background: "white",
    title: { text: title, subtitle: "thin: training; thick: test split", anchor: "start", offset: 12 },
    data: [
      { name: "training", values: rowsOf(curves, "training") },
      { name: "evaluation", values: rowsOf(curves, "evaluation") },
    ],
    scales: [
      {
        name: "epoch",
        type: "linear",
        range: "width",
        zero: true,
        domain: domainOf("epoch"),
      },
      colourScale("colour", curves.map(({ label }) => label)),
    ],
    legends: [colourLegend("colour")],
    marks: [
      quantityPanel("loss", { y: 0, title: "loss" }),
      quantityPanel("top1", { y: panelHeight + panelGap, title: "top-1 accuracy (%)" }),
    ],
  };
}

function rowsOf(curves: readonly LabelledCurve[], part: "training" | "evaluation"): Row[] {
  return curves.flatMap(({ label, curve }, index) =>
    curve[part].filter(isDrawable).map(({ epoch, loss, top1 }) => ({
      label,
      line: String(index),
      epoch,
      loss,
      top1: top1 * 100,
    }))
  );
}

/** A loss that is no number any more ends the line before it. */
function isDrawable({ loss }: CurvePoint): boolean {
  return Number.isFinite(loss);
}

function domainOf(field: "epoch" | Quantity) {
  return { fields: [{ data: "training", field }, { data: "evaluation", field }] };
}

function quantityPanel(
  quantity: Quantity,
  { y, title }: { readonly y: number; readonly title: string },
): GroupMark {
  return panel({
    y,
    height: panelHeight,
    horizontal: { scale: "epoch", title: "epoch" },
    vertical: { title, domain: domainOf(quantity) },
    marks: [
      lines("training", quantity, { width: 1, opacity: 0.45 }),
      lines("evaluation", quantity, { width: 2.5, opacity: 1 }),
      points(quantity),
    ],
  });
}

interface Stroke {
  readonly width: number;
  readonly opacity: number;
}

/** A line a run. */
function lines(data: "training" | "evaluation", quantity: Quantity, { width: strokeWidth, opacity }: Stroke): Mark {
  return {
    type: "group",
    from: { facet: { name: `${data}-line`, data, groupby: "line" } },
    marks: [{
      type: "line",
      from: { data: `${data}-line` },
      encode: {
        enter: {
          x: { scale: "epoch", field: "epoch" },
          y: { scale: "y", field: quantity },
          stroke: { scale: "colour", field: "label" },
          strokeWidth: { value: strokeWidth },
          strokeOpacity: { value: opacity },
        },
      },
    }],
  };
}

/** So that a run of one epoch, whose line has one point, shows. */
function points(quantity: Quantity): Mark {
  return {
    type: "symbol",
    from: { data: "evaluation" },
    encode: {
      enter: {
        x: { scale: "epoch", field: "epoch" },
        y: { scale: "y", field: quantity },
        fill: { scale: "colour", field: "label" },
        size: { value: 16 },
      },
    },
  };
}
