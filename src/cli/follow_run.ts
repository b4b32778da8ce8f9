/** A run's events as one sequence without gaps, however often the connection breaks. */
import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
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
  /** Called where the server has not kept the events that come next, with the first that it has. */
  readonly onMissing?: (earliest: number) => void;
  readonly delaysMs?: readonly number[];
}

/** Where in which run's log one is; before the first event, the run has no name yet. */
interface Position {
  run?: string;
  sequence: number;
  state?: RunState;
}

/** Heartbeats, which say that nothing happens, have no event. */
type EventStream = AsyncIterable<{ readonly event?: RunEvent }>;

export interface StartOptions extends FollowOptions {
  /** A run that was started with it already is followed instead; default: a new one. */
  readonly requestId?: string;
}

/** Starts a run and follows it to its end. A lost connection starts no second one. */
export function startRun(
  connection: Connection,
  config: MessageInitShape<typeof TrainingConfigSchema>,
  { requestId = crypto.randomUUID(), ...options }: StartOptions = {},
): AsyncGenerator<RunEvent> {
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
  options: FollowOptions & { readonly start?: () => EventStream },
): AsyncGenerator<RunEvent> {
  const { signal, onReconnect, onMissing, delaysMs = defaultDelaysMs, start } = options;
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
      const earliest = await earliestAfter(connection, position, error);
      if (earliest !== undefined) {
        onMissing?.(earliest);
        position.sequence = earliest - 1;
        continue;
      }
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

/** A log grows long, and its beginning is thinned out: the first event kept, if what comes next is not. */
async function earliestAfter(
  connection: Connection,
  { run, sequence }: Position,
  error: unknown,
): Promise<number | undefined> {
  if (run === undefined || !(error instanceof ConnectError) || error.code !== Code.OutOfRange) return undefined;
  const response = await connection.training.getRun({ name: run }, connection.quick);
  const earliest = response.run?.earliestSequence ?? 0;
  return sequence + 1 < earliest ? earliest : undefined;
}

/** A server that stops ends its streams in order, too: only a run that has ended needs no other look. */
async function isOver(connection: Connection, { run, state }: Position): Promise<boolean> {
  if (hasEnded(state)) return true;
  if (run === undefined) return false;
  const response = await connection.training.getRun({ name: run }, connection.quick);
  return hasEnded(response.run?.state);
}
