/** What the server says of itself, of the data set and of the networks, before the first run. */
import type { Dataset, GetServerInfoResponse, ModelDescription } from "../../gen/mod.ts";
import type { Connection } from "../connection.ts";
import { CommandError } from "../errors.ts";
import type { Plan } from "./plan.ts";
import type { TableDataset } from "./tables.ts";

export interface Facts {
  readonly server: GetServerInfoResponse;
  readonly dataset: Dataset;
  /** By the network's name. */
  readonly models: ReadonlyMap<string, ModelDescription>;
}

/** @throws {CommandError} the server lacks the data set */
export async function askFacts({ catalog, quick }: Connection, plan: Plan): Promise<Facts> {
  const { datasets } = await catalog.listDatasets({}, quick);
  const dataset = datasets.find(({ name }) => name === plan.dataset);
  if (dataset === undefined) throw missingDataset(plan, datasets);
  const models = new Map<string, ModelDescription>();
  for (const { network: { model: name } } of plan.networks) {
    const { model } = await catalog.describeModel({ model: { name }, dataset: plan.dataset }, quick);
    if (model === undefined) throw new CommandError(`The server's answer has no model for ${name}`);
    models.set(name, model);
  }
  return { server: await catalog.getServerInfo({}, quick), dataset, models };
}

function missingDataset({ dataset, table }: Plan, datasets: readonly Dataset[]): CommandError {
  const names = datasets.map(({ name }) => name).join(", ");
  return new CommandError(
    dataset === table.dataset.name
      ? `Cannot find data set "${dataset}": ${
        importAdvice(table.dataset)
      }, or name another with --dataset; the server ` +
        `has ${names}`
      : `Cannot find data set "${dataset}": the server has ${names}`,
  );
}

function importAdvice({ name, source, importOptions }: TableDataset): string {
  const command = ["./multistep datasets import", name, "PATH", ...(importOptions ? [importOptions] : [])].join(" ");
  return `make it with "${command}", where PATH is ${source}`;
}
