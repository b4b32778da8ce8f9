/** Schemes and what networks learned, as text for a terminal. */
import type { AnalyzeModelResponse, BlockStep, ComplexNumber, SchemeDescription } from "../../gen/mod.ts";
import { formatCount } from "../format.ts";
import { type Column, formatFields, formatTable } from "../table.ts";

/** A network as a scheme, and its blocks by depth. */
export function analysisLines(analysis: AnalyzeModelResponse): string[] {
  const { checkpoint, trainingStep, model, movingAverage, scheme, blocks } = analysis;
  const learned = blocks.flatMap(({ k }) => k ?? []);
  const stable = learned.filter(({ zeroStable }) => zeroStable).length;
  const fields = formatFields([
    ["checkpoint", `${checkpoint} (step ${formatCount(trainingStep)})`],
    ["model", model?.name ?? ""],
    ["weights", movingAverage ? "their moving average" : "as trained"],
    ...(scheme === undefined ? [] : schemeFields(scheme, blocks.length > 0)),
    ...(blocks.length === 0 ? [] : [["zero-stable", `${stable} of ${learned.length} blocks with a k`] as const]),
  ]);
  if (blocks.length > 0) return [...fields, "", ...blockTable(blocks)];
  return [...fields, "", "The scheme learns no coefficients: all of this holds of every network that steps by it."];
}

function schemeFields(scheme: SchemeDescription, isLearned: boolean): (readonly [string, string])[] {
  const { name, formula, order, measuredOrder, roots, zeroStable, source } = scheme;
  return [
    ["scheme", `${name}: ${formula} (${source})`],
    ["order", `${order} (measured: ${measuredOrder.toFixed(2)})`],
    ...(isLearned ? [] : [
      ["zero-stable", yesOrNo(zeroStable)] as const,
      ["roots", roots.map(formatRoot).join(", ")] as const,
    ]),
  ];
}

/** The least and the most of the channels where those have a k each. */
function blockTable(blocks: readonly BlockStep[]): string[] {
  const isPerChannel = blocks.some(({ k }) => k !== undefined && k.channels > 1);
  const right = (title: string): Column => ({ title, align: "right" });
  const columns = [
    { title: "BLOCK" },
    right("STAGE"),
    right("STEP"),
    right("K"),
    ...(isPerChannel ? [right("LEAST"), right("MOST")] : []),
    right("EFFECTIVE STEP"),
    right("ACCELERATION"),
    { title: "ZERO-STABLE" },
  ];
  return formatTable(
    columns,
    blocks.map(({ name, stage, step, k }) => {
      const place = [name, String(stage), String(step)];
      if (k === undefined) {
        return [...place, ...(isPerChannel ? ["", ""] : []), "", "1.000", "0.500", "yes (forward Euler)"];
      }
      const { mean, minimum, maximum, channels, effectiveStep, acceleration, stableChannels, zeroStable } = k;
      return [
        ...place,
        mean.toFixed(4),
        ...(isPerChannel ? [minimum.toFixed(4), maximum.toFixed(4)] : []),
        effectiveStep?.toFixed(3) ?? "none",
        acceleration.toFixed(3),
        channels === 1 || zeroStable ? yesOrNo(zeroStable) : `${stableChannels} of ${channels} channels`,
      ];
    }),
  );
}

export function schemeTable(schemes: readonly SchemeDescription[]): string[] {
  return formatTable(
    [
      { title: "SCHEME" },
      { title: "STEP" },
      { title: "ORDER", align: "right" },
      { title: "MEASURED", align: "right" },
      { title: "ZERO-STABLE" },
      { title: "ROOTS" },
      { title: "SOURCE" },
    ],
    schemes.map(({ name, formula, order, measuredOrder, zeroStable, roots, source, coefficient, derivative }) => [
      name,
      formula + (derivative === 1 ? "" : ", for u'' = f(u)"),
      String(order),
      measuredOrder.toFixed(2),
      yesOrNo(zeroStable) + (coefficient === undefined ? "" : ` (k = ${coefficient})`),
      roots.map(formatRoot).join(", "),
      source,
    ]),
  );
}

function formatRoot({ real, imaginary }: ComplexNumber): string {
  const digits = (value: number) => String(Number(value.toFixed(4)));
  if (imaginary === 0) return digits(real);
  return `${digits(real)} ${imaginary < 0 ? "-" : "+"} ${digits(Math.abs(imaginary))}i`;
}

function yesOrNo(value: boolean): string {
  return value ? "yes" : "no";
}
