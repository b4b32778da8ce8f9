/** Which form of an operation is fastest on this adapter: measured once, and remembered. */
export { type Choice, Choices } from "./choices.ts";
export { contest, type Entrant, type Trial, type Verdict } from "./contest.ts";
export { type TunedGraph, Tuner, type TunerOptions, type TuningProgress } from "./tuner.ts";
