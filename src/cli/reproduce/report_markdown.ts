/** The report for people. */
import { formatCount, formatDuration, formatRate } from "../format.ts";
import type { NetworkReport, Report, RunReport } from "./report.ts";
import type { Statistics } from "./outcomes.ts";
import type { Published, Recipe } from "./tables.ts";

const nothing = "–";

export function reportMarkdown(report: Report): string {
  const { title, networks, gains, runs_done: done, runs_planned: planned } = report;
  return [
    `# ${title}`,
    [
      `\`${report.command}\`, ${report.updated.slice(0, 10)}: ${done} of ${planned} runs done.`,
      "The paper is Lu et al., Beyond Finite Layer Neural Networks, ICML 2018, arXiv 1710.10121.",
    ].join(" "),
    "## Top-1 error",
    markdownTable(
      ["row", "network", "ours, %", "runs", "paper, %", "parameters", "paper's", "images/s"],
      networks.map((network) => [
        network.row,
        network.network,
        errorText(network.error_percent),
        String(network.error_percent?.count ?? 0),
        publishedText(network.paper_error_percent),
        formatCount(network.parameters),
        publishedText(network.paper_parameters_millions, "M"),
        network.images_per_second === undefined ? nothing : formatRate(network.images_per_second),
      ]),
    ),
    "Ours is the mean of the runs on the test split at the end of training, ± their standard deviation (of the sample).",
    tagLines(report).join("\n"),
    "By how many points the multi-step network's error is lower:",
    markdownTable(
      ["row", "ours", "paper"],
      gains.map(({ row, ours, paper }) => [row, ours === undefined ? nothing : ours.toFixed(2), publishedText(paper)]),
    ),
    "![Loss and accuracy by epoch](curves.svg)",
    "## How this differs from the paper",
    bullets([...report.deviations, ...report.notes]),
    "## Recipe",
    recipeTable(networks),
    "## Where and when",
    bullets(placeLines(report)),
    "## Runs",
    markdownTable(
      ["network", "seed", "run", "state", "error, %", "test loss", "images/s", "started", "took"],
      networks.flatMap(({ network, runs }) => runs.map((run) => runCells(network, run))),
    ),
    "`report.json` has the configuration of every run.",
  ].join("\n\n") + "\n";
}

function errorText(error: Statistics | undefined): string {
  if (error === undefined) return nothing;
  return error.deviation === undefined
    ? error.mean.toFixed(2)
    : `${error.mean.toFixed(2)} ± ${error.deviation.toFixed(2)}`;
}

/** A number never stands without its tag. */
function publishedText(published: Published | undefined, unit = ""): string {
  return published === undefined ? nothing : `${published.value}${unit} [${published.tag}]`;
}

function tagLines({ tags }: Report): string[] {
  return [
    "Tags of the paper's numbers:",
    "",
    ...Object.entries(tags).map(([tag, meaning]) => `- [${tag}]: ${meaning}`),
    `- ${nothing}: not reported, or not at hand`,
  ];
}

/** Networks that share a recipe stand in one row. */
function recipeTable(networks: readonly NetworkReport[]): string {
  const byRecipe = new Map<string, { readonly recipe: Recipe; readonly names: string[] }>();
  for (const { network, recipe } of networks) {
    const key = JSON.stringify(recipe);
    const known = byRecipe.get(key) ?? { recipe, names: [] };
    known.names.push(network);
    byRecipe.set(key, known);
  }
  return markdownTable(
    [
      "networks",
      "epochs",
      "rate",
      "divided by 10 at",
      "batch",
      "momentum",
      "weight decay",
      "last block survives",
      "tag",
    ],
    [...byRecipe.values()].map(({ recipe, names }) => [
      names.join(", "),
      String(recipe.epochs),
      String(recipe.learningRate),
      recipe.milestones.join(", ") || nothing,
      String(recipe.batchSize),
      String(recipe.momentum),
      String(recipe.weightDecay),
      recipe.survival?.toString() ?? nothing,
      `[${recipe.tag}]`,
    ]),
  );
}

function placeLines(report: Report): string[] {
  const { adapter, dataset } = report;
  const { description, vendor, software } = adapter ?? {};
  return [
    `Hardware: ${description || vendor || "unknown"}${
      software === true ? " (software Vulkan)" : ""
    }, as the server told ` +
    `on ${report.updated}`,
    `Versions: multistep ${report.server_version} on Deno ${report.deno_version}; this report by ${report.client_version}`,
    `Data set: ${dataset.name}, ${formatCount(dataset.train_images)} images to train, ` +
    `${formatCount(dataset.test_images)} to test, ${dataset.classes} classes`,
  ];
}

function runCells(network: string, run: RunReport): string[] {
  const { start_time: start, end_time: end } = run;
  const reason = run.status_message === "" ? "" : `: ${run.status_message}`;
  return [
    network,
    String(run.seed),
    run.run ?? nothing,
    `${run.state}${reason}`,
    run.error_percent?.toFixed(2) ?? nothing,
    run.test_loss?.toFixed(4) ?? nothing,
    run.images_per_second === undefined ? nothing : formatRate(run.images_per_second),
    start ?? nothing,
    start && end ? formatDuration((Date.parse(end) - Date.parse(start)) / 1000) : nothing,
  ];
}

function bullets(lines: readonly string[]): string {
  return lines.map((line) => `- ${line}`).join("\n");
}

function markdownTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(titles), line(titles.map(() => "---")), ...rows.map(line)].join("\n");
}
