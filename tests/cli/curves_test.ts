import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { drawCurves } from "../../src/cli/curves/draw_curves.ts";
import { type Curve, curveOf, readCurve } from "../../src/cli/curves/read_curve.ts";
import { connect } from "../../src/cli/connection.ts";
import { RunProgressSchema } from "../../src/gen/mod.ts";
import { scriptedRun, startFakeServer } from "./fake_server.ts";

function curve(shift: number): Curve {
  const points = [1, 2, 3].map((epoch) => ({ epoch, loss: 1 / epoch + shift, top1: 0.5 + epoch / 10 }));
  return { training: points, evaluation: points.slice(1), imagesPerSecond: 100 };
}

/** The lines of a drawing that have a stroke of this width: their number, and their colours. */
function lines(svg: string, width: string): { readonly count: number; readonly colours: ReadonlySet<string> } {
  const paths = [...svg.matchAll(/<path [^>]*d="M[^"]*L[^"]*"[^>]*>/g)].map(([path]) => path)
    .filter((path) => path.includes(`stroke-width="${width}"`) && path.includes("stroke="));
  return { count: paths.length, colours: new Set(paths.map((path) => /stroke="(#\w+)"/.exec(path)?.[1] ?? "")) };
}

Deno.test("curveOf() places points by epoch, and takes the speed of all images", () => {
  const { run, events } = scriptedRun("a");
  const [slow, fast] = events.filter(({ kind }) => kind.case === "progress");
  if (slow.kind.case === "progress") slow.kind.value.imagesPerSecond = 50;
  if (fast.kind.case === "progress") fast.kind.value.imagesPerSecond = 150;
  assertEquals(curveOf(events, run), {
    training: [{ epoch: 0.5, loss: 2.302585, top1: 0.125 }, { epoch: 1, loss: 2.302585, top1: 0.125 }],
    evaluation: [{ epoch: 1, loss: 0.25, top1: 0.9715 }],
    imagesPerSecond: 75,
  });
  assertEquals(curveOf([], { progress: undefined }).imagesPerSecond, 0);
  const empty = create(RunProgressSchema, {});
  assertEquals(curveOf(events, { progress: empty }).training[0].epoch, 0);
});

Deno.test("readCurve() reads every page, down-sampled, and anew where the log was thinned out meanwhile", async () => {
  const { run, events } = scriptedRun("a");
  const asked: string[] = [];
  const server = await startFakeServer({
    training: {
      listRunEvents({ pageToken, progressWindows }) {
        assert(progressWindows > 0);
        asked.push(pageToken);
        if (asked.length === 2) throw new ConnectError("The log was thinned out", Code.OutOfRange);
        return pageToken === ""
          ? { events: events.slice(0, 4), nextPageToken: "second" }
          : { events: events.slice(4), nextPageToken: "" };
      },
    },
  });
  const connection = connect(server.address);
  try {
    assertEquals(await readCurve(connection, run), curveOf(events, run));
    assertEquals(asked, ["", "second", "", "second"]);
  } finally {
    connection.close();
    await server.close();
  }
});

Deno.test("drawCurves() draws a thin and a thick line a run and quantity, one colour a label", async () => {
  const svg = await drawCurves("Two networks & a <title>", [
    { label: "resnet-20", curve: curve(0) },
    { label: "resnet-20", curve: curve(0.1) },
    { label: "lm-resnet-20", curve: curve(0.2) },
  ]);
  assertMatch(svg, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  assertStringIncludes(svg, "Two networks &amp; a &lt;title&gt;");
  assertEquals([lines(svg, "1").count, lines(svg, "2.5").count], [6, 6]);
  assertEquals([lines(svg, "1").colours.size, lines(svg, "2.5").colours.size], [2, 2]);
  for (const text of ["resnet-20", "lm-resnet-20", "epoch", "loss", "top-1 accuracy (%)"]) {
    assertStringIncludes(svg, `>${text}</text>`);
  }
  assertEquals(svg.includes("NaN"), false);
});

Deno.test("drawCurves() leaves out a loss that is no number, and draws no runs as an empty frame", async () => {
  const broken = { ...curve(0), training: [{ epoch: 1, loss: 1, top1: 0 }, { epoch: 2, loss: NaN, top1: 0 }] };
  const svg = await drawCurves("A run that diverged", [{ label: "resnet-20", curve: broken }]);
  assertEquals(svg.includes("NaN"), false);
  assertMatch(await drawCurves("Nothing", []), /^<svg /);
});
