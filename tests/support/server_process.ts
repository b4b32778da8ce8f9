/** Run as a process of its own: a server over the fake engine on a data folder. Argument: the folder. Prints its address. */
import { startTestServer } from "./test_server.ts";

const [dataDir] = Deno.args;
const server = await startTestServer({ dataDir });
await Deno.stdout.write(new TextEncoder().encode(`${server.address}\n`));
