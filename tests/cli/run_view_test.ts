import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { assertEquals } from "@std/assert";
import type { CliContext } from "../../src/cli/context.ts";
import { Output } from "../../src/cli/output.ts";
import { RunView } from "../../src/cli/run_view.ts";
import { RunEventSchema } from "../../src/gen/mod.ts";

type Kind = NonNullable<MessageInitShape<typeof RunEventSchema>["kind"]>;

/** What is written of an event where there is no terminal. */
function shown(kind: Kind): string[] {
  const written: string[] = [];
  const stderr = { write: (text: string) => written.push(text), isTerminal: false, columns: 80 };
  const view = new RunView(new Output({ stderr } as unknown as CliContext, false));
  view.show(create(RunEventSchema, { run: "runs/a", step: 10, kind }));
  return written;
}

Deno.test("RunView tells whether kernels are measured or compiled before the first step", () => {
  const progressOf = (value: Record<string, number>) => shown({ case: "preparing", value });
  assertEquals(progressOf({ kernelsMeasured: 5, kernelsTotal: 20 }), ["25% measuring kernels 5/20\n"]);
  assertEquals(progressOf({ pipelinesReady: 3, pipelinesTotal: 12 }), ["25% compiling kernels 3/12\n"]);
});

Deno.test("RunView tells how much of their time the steps wait for data, where that is more than 1%", () => {
  // Two seconds of steps.
  const told = (dataWaitSeconds: number) => {
    const metrics = { loss: 2, top1: 0.25, images: 640 };
    const value = { metrics, imagesPerSecond: 320, totalSteps: 20, dataWaitSeconds };
    return shown({ case: "progress", value })[0];
  };
  const without = "50% epoch 1  step 10/20  loss 2  top-1 25.00%  320.0 images/s";
  assertEquals(told(0.019), `${without}\n`);
  assertEquals(told(0.25), `${without}  12.50% waiting for data\n`);
});
