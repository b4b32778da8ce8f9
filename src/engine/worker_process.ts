/** The worker's process, seen from the server: started, spoken to, watched, ended. */
import { fileURLToPath } from "node:url";
import { encodeFrame, readFrames } from "./frames.ts";
import type { FromWorker, ToWorker } from "./protocol.ts";

export interface WorkerProcessOptions {
  /** The module to run: worker.ts, or in tests one that wraps it. */
  readonly module: URL;
  readonly onMessage: (message: FromWorker) => void;
}

export class WorkerProcess {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  /** Settles when the process is gone and all it said was passed on; tells how it ended. */
  readonly ended: Promise<string>;

  constructor({ module, onMessage }: WorkerProcessOptions) {
    const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
    this.#child = new Deno.Command(Deno.execPath(), {
      // The worker collects what holds pipelines when jobs end.
      args: [
        "run",
        "--v8-flags=--expose-gc",
        "--allow-all",
        "--no-check",
        "--quiet",
        `--config=${config}`,
        module.href,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    // One that hangs would not notice that this process ends, and keep the data folder's lock.
    const kill = () => this.kill();
    globalThis.addEventListener("unload", kill);
    this.ended = this.#follow(onMessage).finally(() => globalThis.removeEventListener("unload", kill));
  }

  send(message: ToWorker): void {
    // The pipe of a process that has ended; `ended` tells of it.
    this.#input.write(encodeFrame(message)).catch(() => {});
  }

  /** Ends the process at once, wherever it is: in the driver, in a loop. */
  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It has ended by itself.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  async #follow(onMessage: (message: FromWorker) => void): Promise<string> {
    let nonsense: string | undefined;
    try {
      for await (const message of readFrames(this.#child.stdout)) onMessage(message as FromWorker);
    } catch (error) {
      nonsense = `it wrote what is no message: ${error instanceof Error ? error.message : error}`;
      this.kill();
    }
    const { code, signal } = await this.#child.status;
    await this.#input.close().catch(() => {});
    return nonsense ?? (signal ? `signal ${signal}` : `exit code ${code}`);
  }
}
