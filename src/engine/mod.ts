/** The training, evaluation and inference loops, in one worker that owns the GPU. */
export { startEngine } from "./client.ts";
export * from "./messages.ts";
