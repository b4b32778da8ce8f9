import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../src/cli/errors.ts";
import { defaulting, flag, nearest, optional, readInvocation, required } from "../../src/cli/options.ts";
import { integer, text } from "../../src/cli/values.ts";

const grammar = {
  options: {
    model: required(text("NAME"), "The network"),
    epochs: optional(integer("N", { minimum: 1 }), "Passes"),
    top: defaulting(integer("K"), "5", "Classes"),
    detach: flag("Leave"),
  },
  common: { json: flag("JSON") },
  positionals: { placeholder: "IMAGE", minimum: 0, maximum: 2 },
};

function read(line: string) {
  return readInvocation(line.split(" ").filter((word) => word !== ""), grammar);
}

function assertUsage(line: string, message: string): void {
  const error = assertThrows(() => read(line), UsageError);
  assertEquals(error.message, message);
}

Deno.test("readInvocation() gives values, defaults and arguments in any order", () => {
  assertEquals(read("a.png --model resnet-20 --epochs=3 --detach b.png --json"), {
    values: { model: "resnet-20", epochs: 3, top: 5, detach: true },
    common: { json: true },
    positionals: ["a.png", "b.png"],
  });
  assertEquals(read("--model m").values, { model: "m", epochs: undefined, top: 5, detach: false });
});

Deno.test("readInvocation() takes the last of an option given twice", () => {
  assertEquals(read("--model a --model b").values.model, "b");
});

Deno.test("readInvocation() takes what follows -- as arguments", () => {
  assertEquals(read("--model m -- --epochs -x").positionals, ["--epochs", "-x"]);
});

Deno.test("readInvocation() names an unknown option, and the one that was meant", () => {
  assertUsage("--modle x", "Unknown option --modle: did you mean --model");
  assertUsage("--model x -e 3", "Unknown option -e");
  assertUsage("--model x --toString", "Unknown option --toString");
  assertUsage("--model x --constructor=1", "Unknown option --constructor");
});

Deno.test("readInvocation() names the option whose value does not fit", () => {
  assertUsage("--model x --epochs zero", 'Option --epochs must be a whole number of at least 1, not "zero"');
  assertUsage("--model x --epochs -1", 'Option --epochs must be a whole number of at least 1, not "-1"');
  assertUsage("--model=", "Option --model must not be empty");
});

Deno.test("readInvocation() refuses an option as another's value", () => {
  assertUsage("--model --json", "Option --model needs a value: --model NAME");
  assertUsage("--model", "Option --model needs a value: --model NAME");
  assertEquals(read("--model=--json").values.model, "--json");
});

Deno.test("readInvocation() refuses a value for a flag", () => {
  assertUsage("--model x --detach=yes", 'Option --detach takes no value, not "yes"');
});

Deno.test("readInvocation() says what is missing or too much", () => {
  assertUsage("--epochs 3", "Option --model NAME is missing");
  assertUsage("--model m a b c", 'Unexpected argument "c"');
  const one = { ...grammar, positionals: { placeholder: "RUN", minimum: 1, maximum: 1 } };
  assertThrows(() => readInvocation(["--model", "m"], one), UsageError, "Argument RUN is missing");
});

Deno.test("nearest() finds misspelt words and leaves others", () => {
  assertEquals(nearest("trian", ["train", "watch"]), "train");
  assertEquals(nearest("serv", ["serve", "eval"]), "serve");
  assertEquals(nearest("x", ["eval", "infer"]), undefined);
  assertEquals(nearest("export", ["train", "watch"]), undefined);
});
