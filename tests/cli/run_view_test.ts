import { create } from "@bufbuild/protobuf";
import { assertEquals } from "@std/assert";
import type { CliContext } from "../../src/cli/context.ts";
import { Output } from "../../src/cli/output.ts";
import { RunView } from "../../src/cli/run_view.ts";
import { RunEventSchema } from "../../src/gen/mod.ts";

Deno.test("RunView tells whether kernels are measured or compiled before the first step", () => {
  const progressOf = (value: Record<string, number>) => {
    const written: string[] = [];
    const stderr = { write: (text: string) => written.push(text), isTerminal: false, columns: 80 };
    const view = new RunView(new Output({ stderr } as unknown as CliContext, false));
    view.show(create(RunEventSchema, { run: "runs/a", kind: { case: "preparing", value } }));
    return written;
  };
  assertEquals(progressOf({ kernelsMeasured: 5, kernelsTotal: 20 }), ["25% measuring kernels 5/20\n"]);
  assertEquals(progressOf({ pipelinesReady: 3, pipelinesTotal: 12 }), ["25% compiling kernels 3/12\n"]);
});
