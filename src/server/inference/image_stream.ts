/** One StreamInfer call: which weights an image uses, and what becomes of an error. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ModelSource, StreamInferRequest, StreamInferResponseSchema } from "../../gen/mod.ts";
import { isFault, toConnectError } from "../connect_error.ts";
import { toPrediction } from "../convert/inference.ts";
import type { Log } from "../log.ts";
import { checkSource, checkStreamInfer } from "../validation/inference.ts";
import type { Inference } from "./inference.ts";

type Answer = MessageInitShape<typeof StreamInferResponseSchema>;

export class ImageStream {
  /** The last given: of the messages that leave it out. */
  private source: ModelSource | undefined;

  constructor(private readonly inference: Inference, private readonly log: Log, private readonly signal: AbortSignal) {}

  /**
   * To be called in the order of the requests; the answers may come in another. Never throws: an error of one image
   * is its answer.
   */
  async answer(request: StreamInferRequest): Promise<Answer> {
    const { id } = request;
    this.source = request.source ?? this.source;
    const { source } = this;
    try {
      const { image, topK } = checkStreamInfer(request);
      const { probabilities, classNames } = await this.inference.inferOne(checkSource(source), image, this.signal);
      return { id, outcome: { case: "prediction", value: toPrediction(probabilities, classNames, topK) } };
    } catch (error) {
      const status = toConnectError(error);
      if (isFault(status)) this.log.error("image failed", error);
      return { id, outcome: { case: "error", value: { code: status.code, message: status.rawMessage } } };
    }
  }
}
