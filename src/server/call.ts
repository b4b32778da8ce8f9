/** One call from its headers to its end, as logs and metrics tell of it. */
import { type Code, createContextKey } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import type { Relay } from "./relay.ts";

export interface Call {
  readonly requestId: string;
  /** "/multistep.v1.TrainingService/GetRun" */
  readonly method: string;
  /** The name of the token that it came with. */
  readonly client?: string;
  /** On the clock of `performance.now()`. */
  readonly began: number;
  /** Settle when its handler has ended, which may be after its stream: a handler need not listen to its signal. */
  readonly work: Promise<unknown>[];
  /** For what many streams are told alike; undefined: the call's messages have another form. */
  relay?: Relay;
  /** How it ended: "ok", or "not_found" and its like. */
  status?: string;
  /** "runs/<id>", where it is about one. */
  run?: string;
}

/** How handlers and interceptors find their call. */
export const callKey = createContextKey<Call | undefined>(undefined, { description: "call" });

export function statusName(code: Code | 0): string {
  return code === 0 ? "ok" : codeToString(code);
}
