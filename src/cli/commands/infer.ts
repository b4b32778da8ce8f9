/** `infer` names the classes of images. */
import { Code, ConnectError } from "@connectrpc/connect";
import { type ClassProbability, type Prediction, PredictionSchema } from "../../gen/mod.ts";
import { type ClientSession, defineClientCommand } from "../command.ts";
import { formatFraction } from "../format.ts";
import { chosenModel, type ModelChoice, modelChoiceOptions } from "../model_choice.ts";
import { defaulting } from "../options.ts";
import { messageToJson } from "../proto_json.ts";
import { formatTable } from "../table.ts";
import { integer } from "../values.ts";

/** Enough to keep the server busy while files are read; few enough to hold in memory. */
const filesInFlight = 8;
/** The server may have to compile the network's kernels first. */
const timeoutMs = 300_000;

export const inferCommand = defineClientCommand({
  name: "infer",
  summary: "Names the most probable classes of PNG, JPEG or WebP images",
  options: {
    ...modelChoiceOptions,
    top: defaulting(integer("K", { minimum: 1 }), "5", "Classes named for each image"),
  },
  positionals: { placeholder: "IMAGE", minimum: 1, maximum: Infinity },
  async run({ values, positionals }, session) {
    const source = await chosenModel(session.connection, values);
    let failures = 0;
    for await (const outcome of inferFiles(session, positionals, { source, topK: values.top })) {
      if (!showOutcome(session, outcome)) failures++;
    }
    return failures === 0 ? 0 : 1;
  },
});

export interface InferOutcome {
  readonly file: string;
  readonly result: Prediction | FileFailure;
}

/** What is wrong with one file; the others go on. */
export interface FileFailure {
  readonly error: string;
}

/**
 * Classifies files, telling outcomes in the order given.
 * @throws {ConnectError} for what concerns all files, such as a run without a checkpoint
 */
export async function* inferFiles(
  session: Pick<ClientSession, "connection">,
  files: readonly string[],
  options: { readonly source: ModelChoice; readonly topK: number },
): AsyncGenerator<InferOutcome> {
  const pending: Promise<InferOutcome>[] = [];
  let next = 0;
  try {
    while (next < files.length || pending.length > 0) {
      while (next < files.length && pending.length < filesInFlight) {
        const file = files[next++];
        const outcome = inferFile(session, file, options).then((result) => ({ file, result }));
        // Awaited below, perhaps after another has failed.
        outcome.catch(() => {});
        pending.push(outcome);
      }
      const outcome = await pending[0];
      pending.shift();
      yield outcome;
    }
  } finally {
    await Promise.allSettled(pending);
  }
}

async function inferFile(
  { connection }: Pick<ClientSession, "connection">,
  file: string,
  { source, topK }: { readonly source: ModelChoice; readonly topK: number },
): Promise<Prediction | FileFailure> {
  let encoded: Uint8Array<ArrayBuffer>;
  try {
    encoded = await Deno.readFile(file);
  } catch (error) {
    return { error: readFailure(error) };
  }
  try {
    const { predictions } = await connection.inference.infer({
      source: { source },
      images: [{ content: { case: "encoded", value: encoded } }],
      topK,
    }, { timeoutMs });
    return predictions[0] ?? { error: "The server's answer has no prediction" };
  } catch (error) {
    if (error instanceof ConnectError && isAboutTheImage(error)) return { error: error.rawMessage };
    throw error;
  }
}

function readFailure(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "Cannot read the file: it does not exist";
  if (error instanceof Deno.errors.PermissionDenied) return "Cannot read the file: permission denied";
  if (error instanceof Deno.errors.IsADirectory) return "Cannot read the file: it is a folder";
  return `Cannot read the file: ${error instanceof Error ? error.message : error}`;
}

/** Not an image, or one that is too large to send. */
function isAboutTheImage({ code }: ConnectError): boolean {
  return code === Code.InvalidArgument || code === Code.ResourceExhausted;
}

/** Prints one file's outcome; returns whether it is a prediction. */
function showOutcome({ output }: Pick<ClientSession, "output">, { file, result }: InferOutcome): boolean {
  if ("error" in result) {
    output.object({ file, error: result.error });
    output.error(`${file}: ${result.error}`);
    return false;
  }
  output.object({ file, ...messageToJson(PredictionSchema, result) });
  output.lines(file, ...predictionLines(result.top));
  return true;
}

function predictionLines(top: readonly ClassProbability[]): string[] {
  return formatTable(
    [{ title: "CLASS" }, { title: "PROBABILITY", align: "right" }],
    top.map(({ className, probability }) => [className, formatFraction(probability)]),
  ).map((line) => `  ${line}`);
}
