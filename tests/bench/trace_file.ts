/** What a file in the Trace Event Format has to be. */
import { assert, assertEquals } from "@std/assert";

/** The rules of the JSON object form, by its specification; and no two events of a track overlap. */
export function checkTraceFile(file: unknown): void {
  assert(isObject(file) && Array.isArray(file.traceEvents), "no list of traceEvents");
  assert(file.displayTimeUnit === "ms" || file.displayTimeUnit === "ns");
  const ends = new Map<string, number>();
  for (const event of file.traceEvents) {
    assert(isObject(event) && typeof event.name === "string" && event.name !== "");
    assert(Number.isInteger(event.pid) && Number.isInteger(event.tid) && isObject(event.args));
    if (event.ph === "M") {
      assert(["process_name", "thread_name"].includes(event.name) && typeof event.args.name === "string");
      continue;
    }
    assertEquals(event.ph, "X");
    assert(typeof event.cat === "string" && event.cat !== "");
    const { ts, dur } = event;
    assert(typeof ts === "number" && Number.isFinite(ts) && typeof dur === "number" && dur >= 0, event.name);
    const track = `${event.pid}/${event.tid}`;
    // A nanosecond of rounding is no overlap.
    assert(ts >= (ends.get(track) ?? 0) - 1e-3, `${event.name} begins before the event before it has ended`);
    ends.set(track, ts + dur);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
