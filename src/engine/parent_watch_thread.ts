/// <reference lib="deno.worker" />
/**
 * A thread of the worker's process that ends it when the server is gone. The main thread learns of that from its stdin,
 * but not while it hangs in the driver; this one runs all the same, for it shares nothing with it.
 */

/** Milliseconds between two looks. */
const INTERVAL_MS = 500;

// A process whose parent has ended gets another one.
const server = Deno.ppid;
setInterval(() => {
  if (Deno.ppid !== server) Deno.kill(Deno.pid, "SIGKILL");
}, INTERVAL_MS);
self.postMessage("watching");
