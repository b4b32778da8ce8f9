/** How long a plan takes, judged by runs that the server has done. */
import { ConnectError } from "@connectrpc/connect";
import { Precision, type Run, RunState } from "../../gen/mod.ts";
import type { Connection } from "../connection.ts";
import type { Facts } from "./facts.ts";
import type { Plan, PlannedNetwork } from "./plan.ts";

export interface Estimate {
  /** Of training and evaluation, without the compilation of kernels. */
  readonly seconds: number;
  /** The run whose speed it rests on, where a network has none of its own. */
  readonly basis: string;
}

/** A run's speed, and what it computes an image. */
interface Pace {
  readonly run: string;
  readonly imagesPerSecond: number;
  readonly multiplyAdds: number;
}

/** Undefined where the server has no run to judge by. */
export async function estimate(connection: Connection, plan: Plan, facts: Facts): Promise<Estimate | undefined> {
  const { training, quick } = connection;
  const states = [RunState.SUCCEEDED, RunState.RUNNING];
  const { runs } = await training.listRuns({ pageSize: 200, states }, quick);
  const measured = runs.filter((run) => speedOf(run) > 0 && run.config?.precision !== Precision.MIXED);
  const pace = await newestPace(connection, measured);
  if (pace === undefined) return undefined;
  const seconds = plan.networks.reduce((sum, network) => {
    const speed = ownSpeed(network, plan.dataset, measured) ?? scaledSpeed(network, pace, facts);
    return sum + imagesOf(network, plan, facts) / speed;
  }, 0);
  return { seconds, basis: pace.run };
}

function speedOf({ progress }: Run): number {
  return progress?.imagesPerSecond ?? 0;
}

/** A test image takes a forward pass, a training image two more for its gradients. */
const testShare = 1 / 3;

/** That all runs of a network train on, those of the evaluations after each epoch included by their share. */
function imagesOf({ recipe, runs }: PlannedNetwork, { budget }: Plan, { dataset }: Facts): number {
  const train = Math.min(budget.limitTrain ?? Infinity, dataset.trainImages);
  const test = Math.min(budget.limitTest ?? Infinity, dataset.testImages);
  return runs.length * recipe.epochs * (train + testShare * test);
}

function ownSpeed({ network }: PlannedNetwork, dataset: string, measured: readonly Run[]): number | undefined {
  const own = measured.find(({ config }) => config?.model?.name === network.model && config.dataset === dataset);
  return own && speedOf(own);
}

/** As if all networks computed as many multiply-adds a second. */
function scaledSpeed({ network }: PlannedNetwork, pace: Pace, { models }: Facts): number {
  return pace.imagesPerSecond * pace.multiplyAdds / Number(models.get(network.model)?.multiplyAdds ?? 1);
}

async function newestPace({ catalog, quick }: Connection, runs: readonly Run[]): Promise<Pace | undefined> {
  for (const run of runs) {
    const { model, dataset } = run.config ?? {};
    try {
      const { model: description } = await catalog.describeModel({ model, dataset }, quick);
      if (description === undefined) continue;
      const multiplyAdds = Number(description.multiplyAdds);
      return { run: run.name, imagesPerSecond: speedOf(run), multiplyAdds };
    } catch (error) {
      // Its data set or network may not be there any more.
      if (!(error instanceof ConnectError)) throw error;
    }
  }
  return undefined;
}
