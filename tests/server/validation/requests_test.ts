import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { assertEquals, assertThrows } from "@std/assert";
import {
  CheckpointChoice,
  DescribeModelRequestSchema,
  EvaluateRequestSchema,
  ExportFormat,
  ExportModelRequestSchema,
  ImportDatasetRequestSchema,
  ImportModelRequestSchema,
  InferRequestSchema,
  ListRunEventsRequestSchema,
  ListRunsRequestSchema,
  RunState,
  StreamInferRequestSchema,
  UploadHeaderSchema,
  WatchRunRequestSchema,
} from "../../../src/gen/mod.ts";
import { InvalidFieldError } from "../../../src/server/errors.ts";
import { checkDescribeModel } from "../../../src/server/validation/catalog.ts";
import { checkImportDataset, checkUploadHeader } from "../../../src/server/validation/dataset_import.ts";
import { checkEvaluate, checkInfer, checkSource, checkStreamInfer } from "../../../src/server/validation/inference.ts";
import { encodeEventsToken, encodePageToken } from "../../../src/server/runs/page_token.ts";
import { checkExportModel } from "../../../src/server/validation/export.ts";
import { checkImportModel } from "../../../src/server/validation/model_import.ts";
import {
  checkListRunEvents,
  checkListRuns,
  checkRequestId,
  checkWatchRun,
} from "../../../src/server/validation/training.ts";
import { build } from "../../support/messages.ts";

const source = { source: { case: "run", value: "runs/abc" } } as const;
const encoded = { content: { case: "encoded", value: new Uint8Array([1]) } } as const;

function raw(height: number, width: number, channels: number, bytes: number) {
  return { content: { case: "raw", value: { height, width, channels, pixels: new Uint8Array(bytes) } } } as const;
}

function refuses(run: () => unknown, ...texts: string[]): void {
  for (const text of texts) assertThrows(run, InvalidFieldError, text);
}

Deno.test("checkInfer() takes files and raw images, five classes by default", () => {
  const order = checkInfer(create(InferRequestSchema, { source, images: [encoded, raw(2, 3, 1, 6)] }));
  assertEquals([order.source, order.topK], [{ kind: "run", id: "abc" }, 5]);
  assertEquals(order.images, [
    { kind: "encoded", bytes: new Uint8Array([1]) },
    { kind: "raw", size: { height: 2, width: 3, channels: 1 }, pixels: new Uint8Array(6) },
  ]);
});

Deno.test("checkInfer() refuses other requests, naming the field", () => {
  const infer = (changes: MessageInitShape<typeof InferRequestSchema>) => () =>
    checkInfer(build(InferRequestSchema, { source, images: [encoded] }, changes));
  const tooMany = Array.from({ length: 257 }, () => encoded);
  refuses(infer({ images: [] }), 'Field "images" must be 1 to 256 images, got 0');
  refuses(infer({ images: tooMany }), "got 257");
  refuses(infer({ images: [encoded, {}] }), 'Field "images[1]" must be set');
  refuses(
    infer({ images: [{ content: { case: "encoded", value: new Uint8Array() } }] }),
    'Field "images[0]" must be set',
  );
  refuses(
    infer({ images: [raw(0, 3, 1, 0)] }),
    'Field "images[0].raw.height" must be an integer from 1 to 16384, got 0',
  );
  refuses(infer({ images: [raw(1, 20_000, 1, 20_000)] }), 'Field "images[0].raw.width"', "got 20000");
  refuses(infer({ images: [raw(2, 2, 2, 8)] }), 'Field "images[0].raw.channels" must be 1 or 3, got 2');
  refuses(infer({ images: [raw(2, 2, 3, 11)] }), 'Field "images[0].raw.pixels"', "= 12 bytes", "11 bytes");
  refuses(infer({ topK: 0 }), 'Field "top_k" must be an integer from 1 to 1000, got 0');
  refuses(infer({ topK: 1001 }), "got 1001");
  refuses(infer({ source: undefined }), 'Field "source" must be set');
  refuses(infer({ source: {} }), 'Field "source" must be set');
});

Deno.test("checkSource() knows a run's name and a checkpoint's path", () => {
  const check = (kind: "run" | "checkpoint", value: string) => () =>
    checkSource({ $typeName: "multistep.v1.ModelSource", source: { case: kind, value } });
  assertEquals(check("checkpoint", "runs/a/b")(), { kind: "checkpoint", path: "runs/a/b" });
  for (const name of ["", "abc", "runs/", "runs/A", "runs/a/b", "runs/../x"]) {
    refuses(check("run", name), 'Field "source.run"');
  }
  for (const path of ["", "a\0b", "x".repeat(5000)]) refuses(check("checkpoint", path), 'Field "source.checkpoint"');
});

Deno.test("checkStreamInfer() checks the image, its id and top_k", () => {
  const check = (changes: MessageInitShape<typeof StreamInferRequestSchema>) => () =>
    checkStreamInfer(build(StreamInferRequestSchema, { image: encoded }, changes));
  assertEquals(check({ topK: 2 })().topK, 2);
  refuses(check({ image: undefined }), 'Field "image" must be set');
  refuses(check({ id: "x".repeat(129) }), 'Field "id" must be 0 to 128 characters');
  refuses(check({ topK: 0 }), 'Field "top_k"');
});

Deno.test("checkEvaluate() fills in the defaults and refuses the rest", () => {
  const check = (changes: MessageInitShape<typeof EvaluateRequestSchema>) => () =>
    checkEvaluate(build(EvaluateRequestSchema, { source }, changes));
  const defaults = {
    source: { kind: "run", id: "abc" },
    dataset: undefined,
    split: "test",
    batchSize: 64,
    limit: undefined,
  };
  assertEquals<unknown>(check({})(), defaults);
  refuses(check({ split: "validation" }), 'Field "split" must be "train" or "test", got "validation"');
  refuses(check({ dataset: "No" }), 'Field "dataset"');
  refuses(check({ batchSize: 0 }), 'Field "batch_size"');
  refuses(check({ limit: 0 }), 'Field "limit"');
});

Deno.test("checkListRuns() takes 50 by default and refuses more than 1000, unknown tokens and no states", () => {
  const check = (pageSize: number, pageToken = "", states: RunState[] = []) => () =>
    checkListRuns(create(ListRunsRequestSchema, { pageSize, pageToken, states }));
  assertEquals(check(0)(), { limit: 50, before: undefined, states: undefined });
  assertEquals(check(1, "", [RunState.PAUSED, RunState.FAILED])().states, ["PAUSED", "FAILED"]);
  refuses(check(1, "", [RunState.PAUSED, RunState.UNSPECIFIED]), 'Field "states[1]" must be a state, such as');
  assertEquals(check(1000)().limit, 1000);
  refuses(check(1001), 'Field "page_size" must be an integer from 0 to 1000, got 1001');
  refuses(check(1, "x"), 'Field "page_token"');
});

Deno.test("checkListRunEvents() takes 500 by default and refuses what is none", () => {
  const check = (changes: MessageInitShape<typeof ListRunEventsRequestSchema>) => () =>
    checkListRunEvents(build(ListRunEventsRequestSchema, { name: "runs/a" }, changes));
  const query = { id: "a", after: 0, limit: 500, windows: 0, position: undefined };
  assertEquals(check({})(), query);
  assertEquals(check({ pageSize: 7, progressWindows: 9, afterSequence: 3 })(), {
    ...query,
    after: 3,
    limit: 7,
    windows: 9,
  });
  const position = { after: 3, last: 9, width: 0, earliest: 1 };
  assertEquals(check({ pageToken: encodeEventsToken(position) })().position, position);
  refuses(check({ name: "a" }), 'Field "name"');
  refuses(check({ pageSize: 1001 }), 'Field "page_size"');
  refuses(check({ progressWindows: 100_001 }), 'Field "progress_windows" must be an integer from 0 to 100000');
  refuses(check({ pageToken: encodePageToken(3) }), 'Field "page_token"');
});

Deno.test("checkExportModel() takes the newest checkpoint and 1 MiB by default and refuses what is none", () => {
  const check = (changes: MessageInitShape<typeof ExportModelRequestSchema>) => () =>
    checkExportModel(build(ExportModelRequestSchema, { name: "runs/a" }, changes));
  const newest = { kind: "run", id: "a", which: { kind: "newest" } };
  const order = { source: newest, optimizerState: false, format: "checkpoint", offset: 0, limit: 2 ** 20 };
  assertEquals<unknown>(check({})(), order);
  const source = (request: Parameters<typeof check>[0]) => check(request)().source;
  const best = source({ which: { case: "choice", value: CheckpointChoice.BEST } });
  assertEquals<unknown>(best, { kind: "run", id: "a", which: { kind: "best" } });
  const path = { case: "path", value: "x" } as const;
  assertEquals<unknown>(source({ which: path }), { kind: "run", id: "a", which: { kind: "path", path: "x" } });
  assertEquals<unknown>(source({ name: "", which: path }), { kind: "imported", path: "x" });
  assertEquals([check({ offset: 7n })().offset, check({ limit: 9 })().limit], [7, 9]);
  refuses(check({ name: "a" }), 'Field "name"');
  refuses(check({ limit: 2 ** 20 + 1 }), 'Field "limit" must be an integer from 0 to 1048576, got 1048577');
  refuses(check({ offset: 2n ** 60n }), 'Field "offset"');
  refuses(check({ which: { case: "choice", value: 9 as CheckpointChoice } }), 'Field "choice"');
  refuses(check({ which: { case: "path", value: "" } }), 'Field "path"');
  refuses(check({ name: "" }), 'Field "name"');
  const format = ExportFormat.PYTORCH;
  assertEquals(check({ format })().format, "pytorch");
  refuses(check({ format, optimizerState: true }), 'Field "optimizer_state" must be false with EXPORT_FORMAT_PYTORCH');
  refuses(check({ format: 9 as ExportFormat }), 'Field "format"');
});

Deno.test("checkImportModel() takes a data set or images and classes, for a model alone", () => {
  const order = { name: "mine", path: "weights.safetensors" };
  const check = (changes: MessageInitShape<typeof ImportModelRequestSchema>) => () =>
    checkImportModel(build(ImportModelRequestSchema, order, changes));
  assertEquals<unknown>(check({})(), order);
  const model = { name: "lm-resnet-20" };
  const trainedOn = (changes: Omit<MessageInitShape<typeof ImportModelRequestSchema>, "$typeName">) =>
    check({ model, ...changes })().network?.trainedOn;
  assertEquals<unknown>(trainedOn({ dataset: "digits" }), { dataset: "digits" });
  assertEquals<unknown>(trainedOn({}), {
    height: 32,
    width: 32,
    channels: 3,
    mean: [0, 0, 0],
    standardDeviation: [1, 1, 1],
  });
  const given = {
    input: { height: 4, width: 5, channels: 1 },
    mean: [-0.5],
    standardDeviation: [0.25],
    classNames: ["cat", "dog"],
    centerCrop: true,
  };
  const { input, centerCrop: _, ...rest } = given;
  const preprocessing = { method: "center_crop", ratio: 0.875 };
  assertEquals<unknown>(trainedOn(given), { ...input, ...rest, preprocessing });
  for (const [field, value] of Object.entries({ dataset: "digits", ...given })) {
    const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    refuses(check({ [field]: value }), `Field "${name}" must be left out without a model`);
    if (field === "dataset") continue;
    refuses(check({ model, dataset: "digits", [field]: value }), `Field "${name}" must be left out beside a data set`);
  }
  refuses(check({ name: "Mine" }), 'Field "name"');
  refuses(check({ path: "" }), 'Field "path"');
  refuses(check({ model, mean: [1] }), 'Field "mean" must be one number for each of 3 channels, got "1 numbers"');
  refuses(check({ model, mean: [1, NaN, 1] }), 'Field "mean[1]" must be from -1000000 to 1000000');
  refuses(check({ model, standardDeviation: [1, 1, 0] }), 'Field "standard_deviation[2]"');
  refuses(check({ model, standardDeviation: [1, 1e-300, 1] }), 'Field "standard_deviation[1]" must be from 1.18e-38');
  refuses(
    check({ model, classNames: ["a", "b", "a"] }),
    'Field "class_names[2]" must be a name that no class before has',
  );
  refuses(check({ model, classNames: [""] }), 'Field "class_names[0]"');
});

Deno.test("checkWatchRun() and checkRequestId() refuse what is none", () => {
  assertEquals(checkWatchRun(create(WatchRunRequestSchema, { name: "runs/a", afterSequence: 3 })), {
    id: "a",
    after: 3,
  });
  refuses(() => checkWatchRun(create(WatchRunRequestSchema, { name: "a" })), 'Field "name"');
  assertEquals(checkRequestId(""), undefined);
  assertEquals(checkRequestId("r".repeat(128)), "r".repeat(128));
  refuses(() => checkRequestId("r".repeat(129)), 'Field "request_id" must be 1 to 128 characters');
  refuses(() => checkRequestId("a\nb"), 'Field "request_id"');
});

Deno.test("checkDescribeModel() checks sizes, and takes a data set in place of them", () => {
  const check = (changes: MessageInitShape<typeof DescribeModelRequestSchema>) => () =>
    checkDescribeModel(build(DescribeModelRequestSchema, { model: { name: "m" } }, changes));
  const nothing = {
    input: undefined,
    classes: undefined,
    dataset: undefined,
    batchSize: undefined,
    emaDecay: undefined,
  };
  assertEquals(check({})(), { model: { name: "m" }, ...nothing, precision: "f32" });
  assertEquals(check({ dataset: "mnist", batchSize: 8 })(), {
    model: { name: "m" },
    ...nothing,
    dataset: "mnist",
    batchSize: 8,
    precision: "f32",
    emaDecay: undefined,
  });
  refuses(check({ dataset: "mnist", classes: 10 }), 'Field "classes" must be left out beside a data set, got 10');
  refuses(check({ dataset: "mnist", input: { height: 8, width: 8, channels: 1 } }), 'Field "input"');
  refuses(check({ batchSize: 0 }), 'Field "batch_size"');
  refuses(check({ model: undefined }), 'Field "model" must be set');
  refuses(check({ input: { height: 32, width: 0, channels: 3 } }), 'Field "input.width"');
  refuses(check({ classes: 0 }), 'Field "classes"');
});

Deno.test("checkUploadHeader() checks the name, the length and the checksum", () => {
  const sha256 = "aF".repeat(32);
  const check = (changes: MessageInitShape<typeof UploadHeaderSchema>) => () =>
    checkUploadHeader(build(UploadHeaderSchema, { name: "cats", fileName: "c.zip", totalBytes: 9n, sha256 }, changes));
  const { name, fileName, bytes, streamed, image, classNames, ...order } = check({})();
  assertEquals([name, fileName, bytes, streamed, image, classNames, order], [
    ...["cats", "c.zip", 9, false, undefined, undefined, { sha256 }],
  ]);
  refuses(check({ name: "../cats" }), 'Field "name"');
  refuses(check({ totalBytes: 0n }), 'Field "header.total_bytes" must be the file\'s length, at least 1, got 0');
  refuses(check({ totalBytes: 2n ** 63n }), 'Field "header.total_bytes"');
  refuses(check({ sha256: "abc" }), 'Field "sha256"');
});

Deno.test("checkImportDataset() checks the name, the path and the size", () => {
  const check = (changes: MessageInitShape<typeof ImportDatasetRequestSchema>) => () =>
    checkImportDataset(build(ImportDatasetRequestSchema, { name: "cats", path: "a b/c" }, changes));
  assertEquals(check({})(), {
    name: "cats",
    place: { kind: "path", path: "a b/c" },
    streamed: false,
    image: undefined,
    sha256: undefined,
    classNames: undefined,
  });
  assertEquals(check({ sha256: "aF".repeat(32) })().sha256, "aF".repeat(32));
  assertEquals(check({ streamed: true })().streamed, true);
  assertEquals(check({ classNames: ["b", "a"] })().classNames, ["b", "a"]);
  refuses(check({ classNames: [""] }), 'Field "class_names[0]"');
  refuses(check({ sha256: "abc" }), 'Field "sha256" must be 64 hexadecimal digits');
  refuses(check({ name: "Cats" }), 'Field "name"');
  refuses(check({ path: "" }), 'Field "path"');
  refuses(check({ path: "a\0" }), 'Field "path"');
  const sha256 = "0".repeat(64);
  const url = "https://example.org/a.zip";
  assertEquals(check({ path: "", url, sha256 })().place, { kind: "url", url: new URL(url), sha256 });
  assertEquals(check({ path: "", known: "cifar10" })().place, { kind: "known", name: "cifar10" });
  assertEquals(check({ path: "", url: "http://example.org/a.zip", sha256 })().place.kind, "url");
  refuses(check({ url }), 'Field "path" must be the only one of path, url and known that is set');
  refuses(check({ path: "", url: "http://example.org/a.zip" }), "an https address, or an http one with a SHA-256");
  refuses(check({ path: "", url: "ftp://example.org", sha256 }), 'Field "url"');
  refuses(check({ path: "", url: "example" }), 'Field "url"');
  refuses(check({ path: "", known: "cifar10", sha256 }), 'Field "sha256" must be left out beside known');
  refuses(check({ image: { height: 8, width: 8, channels: 4 } }), 'Field "image.channels" must be 1 or 3, got 4');
});
