/**
 * A step's timeline in the Trace Event Format (JSON object form), which https://ui.perfetto.dev and chrome://tracing open:
 * https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */
import type { StepTimeline } from "./step_timeline.ts";

/** A complete event ("X"), in microseconds, or metadata ("M"), such as a track's name. */
export type TraceEvent =
  | {
    readonly ph: "X";
    readonly name: string;
    readonly cat: string;
    readonly ts: number;
    readonly dur: number;
    readonly pid: number;
    readonly tid: number;
    readonly args: Readonly<Record<string, string | number>>;
  }
  | {
    readonly ph: "M";
    readonly name: "process_name" | "thread_name";
    readonly pid: number;
    readonly tid: number;
    readonly args: Readonly<Record<string, string | number>>;
  };

export interface TraceFile {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ms";
  readonly otherData: Readonly<Record<string, string>>;
}

const PROCESS = 1;
const TRACKS = { host: 1, gpu: 2 } as const;

export function toTraceFile({ title, adapter, clock, host, dispatches }: StepTimeline): TraceFile {
  const track = { pid: PROCESS, tid: TRACKS.gpu };
  const name = (name: "process_name" | "thread_name", tid: number, value: string): TraceEvent => {
    return { ph: "M", name, pid: PROCESS, tid, args: { name: value } };
  };
  return {
    traceEvents: [
      name("process_name", TRACKS.host, `Multistep: ${title}`),
      name("thread_name", TRACKS.host, "JavaScript"),
      name("thread_name", TRACKS.gpu, `GPU: ${adapter}`),
      ...host.map((span): TraceEvent => {
        const { name, start: ts, duration: dur } = span;
        return { ph: "X", name, cat: "host", ts, dur, pid: PROCESS, tid: TRACKS.host, args: {} };
      }),
      ...dispatches.map((span, dispatch): TraceEvent => {
        const { name, kind: cat, start: ts, duration: dur, place } = span;
        const args = { place, dispatch, workgroups: span.workgroups.join(" x ") };
        return { ph: "X", name, cat, ts, dur, ...track, args };
      }),
    ],
    displayTimeUnit: "ms",
    otherData: { adapter, clock },
  };
}
