/** Which runs a table takes. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { TrainingConfigSchema } from "../../gen/mod.ts";
import { UsageError } from "../errors.ts";
import { type Budget, scaleRecipe } from "./budget.ts";
import type { Network, Recipe, Table, TableRow } from "./tables.ts";

export interface PlanOptions extends Budget {
  /** Names of rows; default: all. */
  readonly rows?: readonly string[];
  /** How often each network is trained, with seeds from 1 on. */
  readonly seeds: number;
  /** By its name on the server; default: the table's. */
  readonly dataset?: string;
}

export interface Plan {
  readonly table: Table;
  readonly dataset: string;
  readonly budget: Budget;
  readonly networks: readonly PlannedNetwork[];
}

/** One side of a row. */
export interface PlannedNetwork {
  readonly row: TableRow;
  readonly side: "residual" | "multistep";
  readonly network: Network;
  /** As it is trained. */
  readonly recipe: Recipe;
  /** One a seed. */
  readonly runs: readonly PlannedRun[];
}

export interface PlannedRun {
  readonly model: string;
  readonly seed: number;
  readonly config: MessageInitShape<typeof TrainingConfigSchema>;
  /** The same for the same table, row, seed and configuration: Train then gives the run that is there. */
  readonly requestId: string;
}

/** @throws {UsageError} for a row that the table does not have */
export async function planRuns(table: Table, options: PlanOptions): Promise<Plan> {
  const { rows, seeds, dataset = table.dataset.name, ...budget } = options;
  const networks: PlannedNetwork[] = [];
  for (const row of chosenRows(table, rows)) {
    const recipe = scaleRecipe({ ...table.recipe, ...row.recipe }, budget);
    for (const side of ["residual", "multistep"] as const) {
      const network = row[side];
      const runs: PlannedRun[] = [];
      for (let seed = 1; seed <= seeds; seed++) {
        const config = trainingConfig(table, { model: network.model, dataset, recipe, budget, seed });
        runs.push({ model: network.model, seed, config, requestId: await requestIdOf(table, row, config) });
      }
      networks.push({ row, side, network, recipe, runs });
    }
  }
  return { table, dataset, budget, networks };
}

export function plannedRuns({ networks }: Plan): PlannedRun[] {
  return networks.flatMap(({ runs }) => runs);
}

/** In the table's order, each once. */
function chosenRows({ name, rows }: Table, wanted: readonly string[] | undefined): readonly TableRow[] {
  if (wanted === undefined) return rows;
  const unknown = wanted.find((word) => !rows.some((row) => row.name === word));
  if (unknown !== undefined) {
    throw new UsageError(
      `Option --rows must name rows of ${name}, which are ${rows.map((row) => row.name).join(", ")}, not "${unknown}"`,
    );
  }
  return rows.filter((row) => wanted.includes(row.name));
}

interface RunChoices {
  readonly model: string;
  readonly dataset: string;
  readonly recipe: Recipe;
  readonly budget: Budget;
  readonly seed: number;
}

function trainingConfig(
  table: Table,
  { model, dataset, recipe, budget, seed }: RunChoices,
): MessageInitShape<typeof TrainingConfigSchema> {
  const { epochs, batchSize, learningRate, momentum, weightDecay, milestones, survival } = recipe;
  return {
    model: { name: model },
    dataset,
    epochs,
    batchSize,
    seed: BigInt(seed),
    limitTrain: budget.limitTrain,
    limitTest: budget.limitTest,
    optimizer: { learningRate, momentum, weightDecay },
    schedule: milestones.length === 0 ? undefined : { milestones: [...milestones], factor: 0.1 },
    // Another data set knows better what its images stand: digits must not be mirrored.
    augmentation: dataset === table.dataset.name ? table.augmentation : undefined,
    stochastic: survival === undefined ? undefined : { depth: { survival } },
  };
}

/** "reproduce/cifar10-depth/20/lm-resnet-20/1/0123456789abcdef": the last part stands for the configuration. */
async function requestIdOf(
  table: Table,
  row: TableRow,
  config: MessageInitShape<typeof TrainingConfigSchema>,
): Promise<string> {
  const message = create(TrainingConfigSchema, config);
  const digest = await crypto.subtle.digest("SHA-256", toBinary(TrainingConfigSchema, message));
  const configuration = new Uint8Array(digest).toHex().slice(0, 16);
  return ["reproduce", table.name, row.name, message.model?.name, message.seed, configuration].join("/");
}
