import type { ServiceImpl } from "@connectrpc/connect";
import { RestartRunRequestSchema, TrainingConfigSchema, type TrainingService } from "../../gen/mod.ts";
import type { TrainingConfig } from "../../engine/mod.ts";
import { resolveInside } from "../allowed_paths.ts";
import { callKey } from "../call.ts";
import type { Catalog } from "../catalog.ts";
import { digestOf } from "../convert/digest.ts";
import { toCheckpoint, toRun, toRunEvent } from "../convert/run.ts";
import type { ModelExports } from "../model_exports.ts";
import { encodeEventsToken, encodePageToken } from "../runs/page_token.ts";
import type { TrainingRuns } from "../runs/training_runs.ts";
import { checkExportModel } from "../validation/export.ts";
import { checkRunName } from "../validation/fields.ts";
import { checkListRunEvents, checkListRuns, checkRequestId, checkWatchRun } from "../validation/training.ts";
import { checkStreaming } from "../validation/streaming.ts";
import { checkTrainingConfig, fillAugmentation } from "../validation/training_config.ts";
import { tell } from "./run_news.ts";

export interface TrainingServiceParts {
  readonly runs: TrainingRuns;
  readonly catalog: Catalog;
  readonly exports: ModelExports;
  /** Absolute, symbolic links resolved. */
  readonly dataDir: string;
}

export function createTrainingService(parts: TrainingServiceParts): ServiceImpl<typeof TrainingService> {
  const { runs, catalog, exports, dataDir } = parts;
  return {
    async *train({ config: message, requestId: id }, { signal, values }) {
      const requestId = checkRequestId(id);
      const checked = checkTrainingConfig(message);
      const dataset = await catalog.describeDataset(checked.dataset);
      const filled = { ...fillAugmentation(checked, dataset), ...checkStreaming(message, dataset) };
      const config = await locateInitialCheckpoint(filled, dataDir);
      const requestDigest = await digestOf(TrainingConfigSchema, message);
      const run = await runs.start(config, { requestId, requestDigest, signal });
      yield* tell(runs.follow(run.id, run.earliestSequence - 1, signal), values.get(callKey)?.relay);
    },

    getRun({ name }) {
      return { run: toRun(runs.get(checkRunName("name", name))) };
    },

    listRuns(request) {
      const page = runs.list(checkListRuns(request));
      const nextPageToken = page.next === undefined ? "" : encodePageToken(page.next);
      return { runs: page.runs.map(toRun), nextPageToken };
    },

    cancelRun({ name }) {
      return { run: toRun(runs.cancel(checkRunName("name", name))) };
    },

    pauseRun({ name }) {
      return { run: toRun(runs.pause(checkRunName("name", name))) };
    },

    resumeRun({ name }) {
      return { run: toRun(runs.resume(checkRunName("name", name))) };
    },

    async restartRun(request, { signal }) {
      const id = checkRunName("name", request.name);
      const requestId = checkRequestId(request.requestId);
      const requestDigest = await digestOf(RestartRunRequestSchema, request);
      return { run: toRun(await runs.restart(id, { requestId, requestDigest, signal })) };
    },

    async deleteRun({ name }) {
      await runs.delete(checkRunName("name", name));
      return {};
    },

    async *watchRun(request, { signal, values }) {
      const { id, after } = checkWatchRun(request);
      yield* tell(runs.follow(id, after, signal), values.get(callKey)?.relay);
    },

    listRunEvents(request) {
      const { id, ...query } = checkListRunEvents(request);
      const { events, next, lastSequence } = runs.events(id, query);
      return { events: events.map(toRunEvent), nextPageToken: next ? encodeEventsToken(next) : "", lastSequence };
    },

    async exportModel(request) {
      const { source, ...order } = checkExportModel(request);
      const piece = source.kind === "run"
        ? await exports.read(runs.get(source.id), { ...order, which: source.which })
        : await exports.readImported(source.path, order);
      const { checkpoint, data, totalBytes, sha256 } = piece;
      return { checkpoint: toCheckpoint(checkpoint), data, totalBytes: BigInt(totalBytes), sha256 };
    },
  };
}

/** @throws {RequestError} There is no such file in the data folder. */
async function locateInitialCheckpoint(config: TrainingConfig, dataDir: string): Promise<TrainingConfig> {
  const { initialCheckpoint: path } = config;
  if (path === undefined) return config;
  return { ...config, initialCheckpoint: await resolveInside(dataDir, "config.initial_checkpoint", path) };
}
