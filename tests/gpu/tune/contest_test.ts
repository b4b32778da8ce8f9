import { assertEquals, assertRejects } from "@std/assert";
import { GpuError } from "../../../src/gpu/mod.ts";
import { contest, type Entrant, type Verdict } from "../../../src/gpu/tune/mod.ts";

interface Fake {
  /** Milliseconds of each round; the last one repeats. */
  readonly times?: readonly number[];
  readonly output?: readonly number[];
  readonly fails?: Error;
}

/** Runs a contest of fakes; tells what was called. */
async function hold(fakes: Readonly<Record<string, Fake>>): Promise<{ verdict: Verdict; calls: string[] }> {
  const calls: string[] = [];
  const entrants = Object.entries(fakes).map(([name, { times = [1], output = [1, 2, 3], fails }]): Entrant => ({
    name,
    prepare() {
      let round = 0;
      return Promise.resolve({
        output: () => fails ? Promise.reject(fails) : Promise.resolve(Float32Array.from(output)),
        time: () => {
          calls.push(name);
          return Promise.resolve(times[Math.min(round++, times.length - 1)]);
        },
        destroy: () => calls.push(`${name} destroyed`),
      });
    },
  }));
  const steps = contest(entrants, { tolerance: 1e-4 });
  let yields = 0;
  for (;;) {
    const { done, value } = await steps.next();
    if (done) {
      assertEquals(yields, entrants.length);
      return { verdict: value, calls };
    }
    yields++;
  }
}

Deno.test("contest() chooses the candidate whose shortest time is shortest", async () => {
  // The second is disturbed most of the time.
  const { verdict } = await hold({ a: { times: [5] }, b: { times: [9, 9, 4, 9, 9] }, c: { times: [6] } });
  assertEquals(verdict, { chosen: "b", milliseconds: { a: 5, b: 4, c: 6 }, dropped: {} });
});

Deno.test("contest() stays with the first candidate when another gains no more than noise", async () => {
  const { verdict } = await hold({ a: { times: [1] }, b: { times: [0.98] } });
  assertEquals(verdict.chosen, "a");
});

Deno.test("contest() times no more than once what is hopeless, and frees everything", async () => {
  const { verdict, calls } = await hold({ a: { times: [1] }, b: { times: [3.1] }, c: { times: [2.9] } });
  assertEquals(verdict.milliseconds, { a: 1, b: 3.1, c: 2.9 });
  assertEquals(calls.filter((name) => name === "b").length, 1);
  assertEquals(calls.filter((name) => name === "c").length, 8);
  assertEquals(calls.slice(-3), ["a destroyed", "b destroyed", "c destroyed"]);
});

Deno.test("contest() drops what is wrong, writes no number or does not run, and tells why", async () => {
  const { verdict, calls } = await hold({
    broken: { fails: new GpuError("shader", "no such feature") },
    a: { times: [8], output: [1, 2, 3] },
    wrong: { output: [1, 2, 3.1] },
    rounded: { times: [7], output: [1, 2, 3.00001] },
    nothing: { output: [1, NaN, 3] },
  });
  assertEquals(verdict.chosen, "rounded");
  assertEquals(verdict.milliseconds, { a: 8, rounded: 7 });
  assertEquals(verdict.dropped, {
    broken: "no such feature",
    wrong: "its result is off by 2.7e-2",
    nothing: "its result is off by Infinity",
  });
  assertEquals(calls.includes("wrong"), false);
});

Deno.test("contest() chooses the first where none runs, and ends when the device is lost", async () => {
  const failing = { fails: new Error("no") };
  const { verdict } = await hold({ a: failing, b: failing });
  assertEquals(verdict, { chosen: "a", milliseconds: {}, dropped: { a: "no", b: "no" } });
  await assertRejects(() => hold({ a: {}, b: { fails: new GpuError("lost", "gone") } }), GpuError, "gone");
});
