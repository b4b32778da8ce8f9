/** The report of a table as one object, which is what report.json holds and report.md shows. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Adapter, AdapterSchema, type Run, TrainingConfigSchema } from "../../gen/mod.ts";
import { type JsonObject, messageToJson } from "../proto_json.ts";
import { stateName } from "../run_view.ts";
import { deviations } from "./deviations.ts";
import type { Facts } from "./facts.ts";
import { errorOf, hasSucceeded, isFinished, type RunOutcome, type Statistics, statisticsOf } from "./outcomes.ts";
import type { Plan, PlannedNetwork } from "./plan.ts";
import { type Published, type Recipe, type Tag, tagMeanings } from "./tables.ts";

export interface Report {
  readonly table: string;
  readonly title: string;
  readonly command: string;
  /** ISO 8601. */
  readonly updated: string;
  readonly runs_done: number;
  readonly runs_planned: number;
  /** Of Multistep: what wrote this, and what trained. */
  readonly client_version: string;
  readonly server_version: string;
  readonly deno_version: string;
  /** As the server told when this was written. */
  readonly adapter?: JsonObject;
  readonly dataset: {
    readonly name: string;
    readonly train_images: number;
    readonly test_images: number;
    readonly classes: number;
  };
  readonly networks: readonly NetworkReport[];
  readonly gains: readonly GainReport[];
  /** Sentences: how these runs differ from the paper's, and what else one must know. */
  readonly deviations: readonly string[];
  readonly notes: readonly string[];
  readonly tags: Readonly<Record<Tag, string>>;
}

export interface NetworkReport {
  readonly row: string;
  readonly network: string;
  readonly scheme: string;
  /** Exact, for this data set's classes. */
  readonly parameters: number;
  readonly paper_parameters_millions?: Published;
  /** Top-1 on the test split at the end of training, in percent, over the runs that succeeded. */
  readonly error_percent?: Statistics;
  readonly paper_error_percent?: Published;
  /** The mean over those runs. */
  readonly images_per_second?: number;
  readonly recipe: Recipe;
  readonly runs: readonly RunReport[];
}

export interface RunReport {
  readonly request_id: string;
  readonly seed: number;
  /** "runs/<id>"; absent where the server did not take it. */
  readonly run?: string;
  /** A state of runs, or REFUSED. */
  readonly state: string;
  /** Why. */
  readonly status_message: string;
  readonly error_percent?: number;
  readonly test_loss?: number;
  readonly test_images?: number;
  readonly images_per_second?: number;
  readonly start_time?: string;
  readonly end_time?: string;
  /** With every default filled in. */
  readonly config?: JsonObject;
}

/** By how many points the multi-step network's error is lower. */
export interface GainReport {
  readonly row: string;
  readonly ours?: number;
  /** Its tag is the lesser of both numbers'. */
  readonly paper?: Published;
}

export interface ReportContext {
  readonly command: string;
  readonly clientVersion: string;
  readonly updated: Date;
}

/** @param outcomes by request id */
export function buildReport(
  plan: Plan,
  facts: Facts,
  outcomes: ReadonlyMap<string, RunOutcome>,
  { command, clientVersion, updated }: ReportContext,
): Report {
  const { server, dataset } = facts;
  const networks = plan.networks.map((planned) => networkReport(planned, facts, outcomes));
  return {
    table: plan.table.name,
    title: plan.table.title,
    command,
    updated: updated.toISOString(),
    runs_done: outcomes.size,
    runs_planned: plan.networks.reduce((sum, { runs }) => sum + runs.length, 0),
    client_version: clientVersion,
    server_version: server.version,
    deno_version: server.denoVersion,
    adapter: server.adapter && adapterJson(server.adapter),
    dataset: {
      name: dataset.name,
      train_images: dataset.trainImages,
      test_images: dataset.testImages,
      classes: dataset.classNames.length,
    },
    networks,
    gains: gainsOf(networks),
    deviations: deviations(plan, dataset),
    notes: plan.table.notes,
    tags: tagMeanings,
  };
}

/** Without features and limits, which say nothing of speed. */
function adapterJson(adapter: Adapter): JsonObject {
  const { features: _, limits: __, ...json } = messageToJson(AdapterSchema, adapter);
  return json;
}

function networkReport(
  { row, network, recipe, runs }: PlannedNetwork,
  { models }: Facts,
  outcomes: ReadonlyMap<string, RunOutcome>,
): NetworkReport {
  const description = models.get(network.model);
  const told = runs.map(({ requestId }) => outcomes.get(requestId)).filter((outcome) => outcome !== undefined);
  const succeeded = told.filter(hasSucceeded);
  return {
    row: row.name,
    network: network.model,
    scheme: description?.scheme ?? "",
    parameters: Number(description?.parameters ?? 0),
    paper_parameters_millions: network.parameters,
    error_percent: statisticsOf(succeeded.map(errorOf).filter((error) => error !== undefined)),
    paper_error_percent: network.error,
    images_per_second: statisticsOf(succeeded.map(({ curve }) => curve.imagesPerSecond))?.mean,
    recipe,
    runs: told.map(runReport),
  };
}

function runReport(outcome: RunOutcome): RunReport {
  const { requestId, seed } = outcome.planned;
  const planned = { request_id: requestId, seed };
  if (!isFinished(outcome)) return { ...planned, state: "REFUSED", status_message: outcome.refusal };
  const { run, curve } = outcome;
  return {
    ...planned,
    run: run.name,
    state: stateName(run.state),
    status_message: run.statusMessage,
    error_percent: errorOf(outcome),
    test_loss: run.evaluation?.loss,
    test_images: run.evaluation?.images,
    images_per_second: curve.imagesPerSecond,
    start_time: isoTime(run.startTime),
    end_time: isoTime(run.endTime),
    config: run.config && messageToJson(TrainingConfigSchema, run.config),
  };
}

function isoTime(time: Run["startTime"]): string | undefined {
  return time && timestampDate(time).toISOString();
}

/** The networks stand in pairs: the residual one of a row, then the multi-step one. */
function gainsOf(networks: readonly NetworkReport[]): GainReport[] {
  return networks.flatMap((multistep, index) => {
    if (index % 2 === 0) return [];
    const residual = networks[index - 1];
    const [a, b] = [residual.error_percent, multistep.error_percent];
    return [{
      row: multistep.row,
      ours: a && b && a.mean - b.mean,
      paper: differenceOf(residual.paper_error_percent, multistep.paper_error_percent),
    }];
  });
}

function differenceOf(a: Published | undefined, b: Published | undefined): Published | undefined {
  if (a === undefined || b === undefined) return undefined;
  // The numbers have two digits after the point, and so does their difference.
  return { value: Number((a.value - b.value).toFixed(2)), tag: a.tag === "m" || b.tag === "m" ? "m" : "c" };
}
