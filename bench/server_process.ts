/** The product's own `serve` in a process of its own, to be killed or measured. */

export interface ServerProcess {
  readonly address: string;
  readonly pid: number;
  readonly killed: boolean;
  /** Ends it at once, and waits until it is gone. */
  kill(): Promise<void>;
}

/** @throws {Error} when it ends before it listens. */
export async function spawnServer(dataDir: string): Promise<ServerProcess> {
  // The launcher makes way for the server, which has its process id then.
  const child = new Deno.Command(new URL("../multistep", import.meta.url).pathname, {
    args: ["serve", "--listen", "127.0.0.1:0", "--data-dir", dataDir, "--json"],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let killed = false;
  const kill = async () => {
    if (!killed) child.kill("SIGKILL");
    killed = true;
    await child.status;
    await reader.cancel().catch(() => {});
  };
  const reader = child.stdout.getReader();
  try {
    return {
      address: await readAddress(reader),
      pid: child.pid,
      kill,
      get killed() {
        return killed;
      },
    };
  } catch (error) {
    await kill();
    throw error;
  }
}

async function readAddress(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`The server ended before it listened: ${text}`);
    text += new TextDecoder().decode(value);
  }
  return JSON.parse(text).address;
}
