/** A plan and a report's result, as the command prints them. */
import { formatCount, formatRate } from "../format.ts";
import type { JsonObject } from "../proto_json.ts";
import { formatTable } from "../table.ts";
import type { Plan } from "./plan.ts";
import type { Report } from "./report.ts";
import type { Published } from "./tables.ts";

export function planTable({ networks, dataset }: Plan): string[] {
  return formatTable(
    [
      { title: "ROW" },
      { title: "NETWORK" },
      { title: "DATASET" },
      { title: "SEEDS" },
      { title: "EPOCHS", align: "right" },
      { title: "MILESTONES" },
      { title: "BATCH", align: "right" },
      { title: "WEIGHT DECAY", align: "right" },
    ],
    networks.map(({ row, network, recipe, runs }) => [
      row.name,
      network.model,
      dataset,
      runs.length === 1 ? "1" : `1-${runs.length}`,
      formatCount(recipe.epochs),
      recipe.milestones.join(",") || "none",
      formatCount(recipe.batchSize),
      String(recipe.weightDecay),
    ]),
  );
}

export function networkTable({ networks, tags }: Report): string[] {
  const rows = networks.map((network) => [
    network.row,
    network.network,
    network.error_percent?.mean.toFixed(2) ?? "",
    network.error_percent?.deviation?.toFixed(2) ?? "",
    String(network.error_percent?.count ?? 0),
    publishedText(network.paper_error_percent),
    formatCount(network.parameters),
    network.images_per_second === undefined ? "" : formatRate(network.images_per_second),
  ]);
  return [
    ...formatTable([
      { title: "ROW" },
      { title: "NETWORK" },
      { title: "ERROR %", align: "right" },
      { title: "DEVIATION", align: "right" },
      { title: "RUNS", align: "right" },
      { title: "PAPER %", align: "right" },
      { title: "PARAMETERS", align: "right" },
      { title: "IMAGES/S", align: "right" },
    ], rows),
    ...Object.entries(tags).map(([tag, meaning]) => `[${tag}]: ${meaning}`),
  ];
}

/** The result in short; report.json has the rest. */
export function reportSummaryJson({ table, runs_done, runs_planned, networks }: Report, folder: string): JsonObject {
  return {
    kind: "report",
    table,
    output: folder,
    runs_done,
    runs_planned,
    networks: networks.map((network) => ({
      row: network.row,
      network: network.network,
      parameters: network.parameters,
      runs: network.error_percent?.count ?? 0,
      error_percent: network.error_percent?.mean,
      deviation: network.error_percent?.deviation,
      paper_error_percent: network.paper_error_percent?.value,
      paper_tag: network.paper_error_percent?.tag,
      images_per_second: network.images_per_second,
    })),
  };
}

/** The runs of a plan, one object each. */
export function planJson({ table, dataset, networks }: Plan): JsonObject[] {
  return networks.flatMap(({ row, recipe, runs }) =>
    runs.map(({ model, seed, requestId }) => ({
      kind: "planned_run",
      table: table.name,
      row: row.name,
      model,
      dataset,
      seed,
      epochs: recipe.epochs,
      milestones: recipe.milestones,
      batch_size: recipe.batchSize,
      weight_decay: recipe.weightDecay,
      survival: recipe.survival,
      request_id: requestId,
    }))
  );
}

function publishedText(published: Published | undefined): string {
  return published === undefined ? "" : `${published.value} [${published.tag}]`;
}
