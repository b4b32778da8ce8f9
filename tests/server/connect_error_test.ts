import { Code, ConnectError } from "@connectrpc/connect";
import { assert, assertEquals } from "@std/assert";
import { DatasetError, ImageError, UnknownDatasetError } from "../../src/data/mod.ts";
import { EngineError } from "../../src/engine/mod.ts";
import { CheckpointError, ModelError } from "../../src/models/mod.ts";
import { toConnectError } from "../../src/server/connect_error.ts";
import { InvalidFieldError, RequestError } from "../../src/server/errors.ts";

Deno.test("toConnectError() gives every error made on purpose its code and keeps its text", () => {
  const cases: [Error, Code][] = [
    [new InvalidFieldError("epochs", 0, "more"), Code.InvalidArgument],
    [new RequestError("not-found", "text"), Code.NotFound],
    [new RequestError("already-exists", "text"), Code.AlreadyExists],
    [new RequestError("permission-denied", "text"), Code.PermissionDenied],
    [new RequestError("failed-precondition", "text"), Code.FailedPrecondition],
    [new RequestError("out-of-range", "text"), Code.OutOfRange],
    [new RequestError("resource-exhausted", "text"), Code.ResourceExhausted],
    [new RequestError("unavailable", "text"), Code.Unavailable],
    [new EngineError("invalid", "text"), Code.InvalidArgument],
    [new EngineError("not-found", "text"), Code.NotFound],
    [new EngineError("damaged", "text"), Code.DataLoss],
    [new EngineError("exhausted", "text"), Code.ResourceExhausted],
    [new EngineError("unavailable", "text"), Code.Unavailable],
    [new EngineError("unsupported", "text"), Code.FailedPrecondition],
    [new EngineError("internal", "text"), Code.Internal],
    [new UnknownDatasetError("cats", ["dogs"]), Code.NotFound],
    [new DatasetError("invalid", "text"), Code.InvalidArgument],
    [new DatasetError("exists", "text"), Code.AlreadyExists],
    [new DatasetError("damaged", "text"), Code.FailedPrecondition],
    [new DatasetError("storage", "text"), Code.FailedPrecondition],
    [new ImageError("text"), Code.InvalidArgument],
    [new ModelError("text"), Code.InvalidArgument],
    [new CheckpointError("text"), Code.FailedPrecondition],
    [new DOMException("text", "AbortError"), Code.Canceled],
  ];
  for (const [error, code] of cases) {
    const status = toConnectError(error);
    assertEquals([Code[status.code], status.rawMessage, status.cause], [Code[code], error.message, error]);
  }
});

Deno.test("toConnectError() tells nothing of other errors, but keeps them as the cause", () => {
  const secrets = [
    new TypeError("undefined is not /secret/path"),
    "a text",
    undefined,
    new Deno.errors.NotFound("/secret"),
  ];
  for (const error of secrets) {
    const status = toConnectError(error);
    assertEquals([status.code, status.rawMessage], [Code.Internal, "An internal error; the server's log has it"]);
    assertEquals(status.cause, error);
  }
});

Deno.test("toConnectError() passes statuses on", () => {
  const status = new ConnectError("text", Code.DeadlineExceeded);
  assert(toConnectError(status) === status);
});

Deno.test("InvalidFieldError shows the field, the value and what is allowed", () => {
  const message = (value: unknown) => new InvalidFieldError("config.epochs", value, "an integer").message;
  assertEquals(message(0), 'Field "config.epochs" must be an integer, got 0');
  assertEquals(message(NaN), 'Field "config.epochs" must be an integer, got NaN');
  assertEquals(message(""), 'Field "config.epochs" must be an integer, got nothing');
  assertEquals(message('a"b'), 'Field "config.epochs" must be an integer, got "a\\"b"');
  assert(message("x".repeat(10_000)).length < 200);
});
