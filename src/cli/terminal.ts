/** The process's own streams and signals. */
import type { TextSink } from "./context.ts";

interface Stream {
  writeSync(bytes: Uint8Array): number;
  isTerminal(): boolean;
}

/**
 * A sink that writes to `Deno.stdout` or `Deno.stderr` at once, so that text
 * is out before the process ends. `onClosed` is called when nobody reads any
 * more, as after `| head`.
 */
export function terminalSink(stream: Stream, onClosed: () => void): TextSink {
  const encoder = new TextEncoder();
  return {
    isTerminal: stream.isTerminal(),
    get columns() {
      try {
        return Deno.consoleSize().columns;
      } catch {
        return 80;
      }
    },
    write(text) {
      let bytes = encoder.encode(text);
      try {
        while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
      } catch (error) {
        if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
        onClosed();
      }
    },
  };
}

/** Calls back at each Ctrl-C or termination signal, until the function returned is called. */
export function onInterrupt(handler: () => void): () => void {
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, handler);
  return () => {
    for (const signal of signals) Deno.removeSignalListener(signal, handler);
  };
}
