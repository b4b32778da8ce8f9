/** Resolves once a thread watches over this process: it is killed soon after its parent has ended, even if it hangs. */
export async function watchParent(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const thread = new Worker(new URL("./parent_watch_thread.ts", import.meta.url), { type: "module" });
  thread.addEventListener("message", () => resolve(), { once: true });
  await promise;
}
