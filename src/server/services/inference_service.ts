import type { ServiceImpl } from "@connectrpc/connect";
import type { Engine } from "../../engine/mod.ts";
import type { InferenceService } from "../../gen/mod.ts";
import { toAnalyzeModelResponse } from "../convert/analysis.ts";
import { toEvaluateResponse, toPrediction } from "../convert/inference.ts";
import { concurrentMap } from "../inference/concurrent_map.ts";
import { ImageStream } from "../inference/image_stream.ts";
import type { Inference } from "../inference/inference.ts";
import type { WeightsFinder } from "../inference/weights.ts";
import type { Log } from "../log.ts";
import { throttle } from "../throttle.ts";
import { checkEvaluate, checkInfer, checkSource } from "../validation/inference.ts";

export interface InferenceServiceParts {
  readonly engine: Engine;
  readonly weights: WeightsFinder;
  readonly inference: Inference;
  readonly log: Log;
  /** Images of one StreamInfer call between being read and being answered. */
  readonly inFlight: number;
  /** Milliseconds between two messages of progress. */
  readonly progressInterval: number;
}

export function createInferenceService(parts: InferenceServiceParts): ServiceImpl<typeof InferenceService> {
  const { engine, weights, inference, log, inFlight, progressInterval: interval } = parts;
  return {
    async *evaluate(request, { signal }) {
      const { source, ...order } = checkEvaluate(request);
      const events = weights.stream(source, (checkpoint) => engine.evaluate({ checkpoint, ...order }, signal));
      const bounded = throttle(events, { interval, isDroppable: ({ kind }) => kind === "progress" });
      for await (const event of bounded) yield toEvaluateResponse(event);
    },

    async infer(request, { signal }) {
      const { source, images, topK } = checkInfer(request);
      const results = await inference.infer(source, images, signal);
      return {
        predictions: results.map(({ probabilities, classNames }) => toPrediction(probabilities, classNames, topK)),
      };
    },

    async analyzeModel(request, { signal }) {
      return await weights.use(checkSource(request.source), async (checkpoint) => {
        return toAnalyzeModelResponse(checkpoint, await engine.analyze(checkpoint, signal));
      });
    },

    streamInfer(requests, { signal }) {
      const stream = new ImageStream(inference, log, signal);
      return concurrentMap(requests, inFlight, (request) => stream.answer(request));
    },
  };
}
