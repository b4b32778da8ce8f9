/** A run's events as one sequence without gaps, however often the connection breaks. */
import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type RunEvent, RunState, type TrainingConfigSchema } from "../gen/mod.ts";
import type { Connection } from "./connection.ts";
import { CommandError, isConnectionLoss, isUnreachable } from "./errors.ts";

/** How long to wait before each attempt to connect again, in milliseconds; after the last one it is given up. */
const defaultDelaysMs = [250, 500, 1000, 2000, 4000, 8000, 8000, 8000, 8000];

export interface FollowOptions {
  /** Aborted, it ends the iteration with its reason. */
  readonly signal?: AbortSignal;
  /** Called before each wait. */
  readonly onReconnect?: (delayMs: number) => void;
  readonly delaysMs?: readonly number[];
}

/** Where in which run's log one is; before the first event, the run has no name yet. */
interface Position {
  run?: string;
  sequence: number;
  state?: RunState;
}

type EventStream = AsyncIterable<{ readonly event?: RunEvent }>;

/** Starts a run and follows it to its end. A lost connection starts no second one. */
export function startRun(
  connection: Connection,
  config: MessageInitShape<typeof TrainingConfigSchema>,
  options: FollowOptions = {},
): AsyncGenerator<RunEvent> {
  const requestId = crypto.randomUUID();
  return follow(connection, { sequence: 0 }, {
    ...options,
    start: () => connection.training.train({ config, requestId }, { signal: options.signal }),
  });
}

/** Follows a run from an event on (0: from the beginning) to its end. */
export function watchRun(
  connection: Connection,
  run: { readonly name: string; readonly afterSequence: number },
  options: FollowOptions = {},
): AsyncGenerator<RunEvent> {
  return follow(connection, { run: run.name, sequence: run.afterSequence }, options);
}

export function hasEnded(state: RunState | undefined): boolean {
  return state === RunState.SUCCEEDED || state === RunState.FAILED || state === RunState.CANCELLED;
}

async function* follow(
  connection: Connection,
  position: Position,
  { signal, onReconnect, delaysMs = defaultDelaysMs, start }: FollowOptions & { readonly start?: () => EventStream },
): AsyncGenerator<RunEvent> {
  let failures = 0;
  let answered = false;
  for (;;) {
    const before = position.sequence;
    try {
      const { run, sequence } = position;
      const events: EventStream = run === undefined && start !== undefined
        ? start()
        : connection.training.watchRun({ name: run, afterSequence: sequence }, { signal });
      for await (const { event } of events) {
        answered = true;
        if (event === undefined || event.sequence <= position.sequence) continue;
        position.run = event.run;
        position.sequence = event.sequence;
        if (event.kind.case === "stateChanged") position.state = event.kind.value.state;
        yield event;
      }
      if (await isOver(connection, position)) return;
    } catch (error) {
      signal?.throwIfAborted();
      if (!isConnectionLoss(error) || (!answered && isUnreachable(error))) throw error;
    }
    if (position.sequence > before) failures = 0;
    if (failures === delaysMs.length) {
      throw new CommandError(
        `Lost the connection to ${connection.address}${
          position.run === undefined
            ? " before the run began"
            : `; ${position.run} may go on there: watch it with "./multistep watch ${position.run}"`
        }`,
      );
    }
    const delayMs = delaysMs[failures++];
    onReconnect?.(delayMs);
    await delay(delayMs, undefined, { signal });
  }
}

/** A server that stops ends its streams in order, too: only a run that has ended needs no other look. */
async function isOver(connection: Connection, { run, state }: Position): Promise<boolean> {
  if (hasEnded(state)) return true;
  if (run === undefined) return false;
  const response = await connection.training.getRun({ name: run }, connection.quick);
  return hasEnded(response.run?.state);
}
