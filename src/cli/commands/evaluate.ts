/** `eval` measures a trained network on a data set. */
import { type ConfusionMatrix, ConfusionMatrixSchema, type EvaluationResult } from "../../gen/mod.ts";
import { type ClientSession, defineClientCommand } from "../command.ts";
import { CommandError } from "../errors.ts";
import { formatCount, formatFraction, formatLoss, formatRate } from "../format.ts";
import { chosenModel, type ModelChoice, modelChoiceOptions } from "../model_choice.ts";
import { optional } from "../options.ts";
import { type JsonObject, messageToJson } from "../proto_json.ts";
import { metricsJson } from "../run_view.ts";
import { formatFields, formatTable } from "../table.ts";
import { choice, integer, text } from "../values.ts";

/** A matrix with more classes than this is too wide to read. */
const widestMatrix = 20;
/** Of a wider one, this many of the most frequent mistakes are shown. */
const mistakesShown = 10;

export const evaluateCommand = defineClientCommand({
  name: "eval",
  summary: "Measures a trained network on a data set: loss, accuracies, confusion matrix",
  options: {
    ...modelChoiceOptions,
    dataset: optional(text("NAME"), "The data set (default: the one trained on)"),
    split: optional(choice(["train", "test"]), "The part of it (default: test)"),
    "batch-size": optional(integer("N", { minimum: 1 }), "Images at a time (default: 64)"),
    limit: optional(integer("N", { minimum: 1 }), "Only the first N images"),
  },
  async run({ values }, session) {
    const { connection, output } = session;
    const result = await evaluate(session, {
      source: await chosenModel(connection, values),
      dataset: values.dataset,
      split: values.split,
      batchSize: values["batch-size"],
      limit: values.limit,
    });
    output.object(evaluationJson(result));
    output.lines(...evaluationLines(result));
    return 0;
  },
});

export interface EvaluateOptions {
  readonly source: ModelChoice;
  readonly dataset?: string;
  readonly split?: string;
  readonly batchSize?: number;
  readonly limit?: number;
}

/** Evaluates with progress shown. @throws {CommandError} where the server gives no result */
export async function evaluate(
  { connection, output }: Pick<ClientSession, "connection" | "output">,
  { source, ...request }: EvaluateOptions,
): Promise<EvaluationResult> {
  for await (const { kind } of connection.inference.evaluate({ source: { source }, ...request })) {
    if (kind.case === "result") {
      output.progress.stop();
      return kind.value;
    }
    if (kind.case === "progress") {
      const { imagesDone, imagesTotal } = kind.value;
      output.progress.update({ done: imagesDone, total: imagesTotal, text: `evaluated ${imagesDone}/${imagesTotal}` });
    }
  }
  throw new CommandError("The server ended the evaluation without a result");
}

export function evaluationJson({ metrics, confusion, imagesPerSecond }: EvaluationResult): JsonObject {
  return {
    ...metricsJson(metrics),
    images_per_second: imagesPerSecond,
    ...(confusion === undefined ? {} : { confusion: messageToJson(ConfusionMatrixSchema, confusion) }),
  };
}

function evaluationLines({ metrics, confusion, imagesPerSecond }: EvaluationResult): string[] {
  const fields: [string, string][] = metrics === undefined ? [] : [
    ["images", formatCount(metrics.images)],
    ["loss", formatLoss(metrics.loss)],
    ["top-1", formatFraction(metrics.top1)],
    ["top-5", formatFraction(metrics.top5)],
  ];
  fields.push(["speed", `${formatRate(imagesPerSecond)} images/s`]);
  return [...formatFields(fields), ...(confusion === undefined ? [] : ["", ...confusionLines(confusion)])];
}

/** The matrix, a row a true class; of a large one, the most frequent mistakes. */
function confusionLines({ classNames, counts }: ConfusionMatrix): string[] {
  const classes = classNames.length;
  if (classes > widestMatrix) return mistakeLines({ classNames, counts });
  const columns = [{ title: "true \\ predicted" }, ...classNames.map((title) => ({ title, align: "right" as const }))];
  return formatTable(
    columns,
    classNames.map((name, row) => [name, ...counts.slice(row * classes, (row + 1) * classes).map(formatCount)]),
  );
}

function mistakeLines({ classNames, counts }: Pick<ConfusionMatrix, "classNames" | "counts">): string[] {
  const classes = classNames.length;
  const mistakes = counts
    .map((count, index) => ({ count, truth: Math.floor(index / classes), predicted: index % classes }))
    .filter(({ count, truth, predicted }) => count > 0 && truth !== predicted)
    .sort((a, b) => b.count - a.count)
    .slice(0, mistakesShown);
  return formatTable(
    [{ title: "TRUE" }, { title: "PREDICTED" }, { title: "IMAGES", align: "right" }],
    mistakes.map(({ count, truth, predicted }) => [classNames[truth], classNames[predicted], formatCount(count)]),
  );
}
