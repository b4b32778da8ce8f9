import { Code, ConnectError } from "@connectrpc/connect";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type Connection } from "../../src/cli/connection.ts";
import { CommandError } from "../../src/cli/errors.ts";
import { type FollowOptions, startRun, watchRun } from "../../src/cli/follow_run.ts";
import { type RunEvent, RunState } from "../../src/gen/mod.ts";
import { type FakeServer, type Overrides, scriptedRun, startFakeServer } from "./fake_server.ts";

const delaysMs = [1, 1, 1];

async function withServer(
  overrides: Overrides,
  test: (connection: Connection, server: FakeServer) => Promise<void>,
): Promise<void> {
  const server = await startFakeServer(overrides);
  const connection = connect(server.address);
  try {
    await test(connection, server);
  } finally {
    connection.close();
    await server.close();
  }
}

async function sequences(events: AsyncIterable<RunEvent>): Promise<number[]> {
  const seen: number[] = [];
  for await (const event of events) seen.push(event.sequence);
  return seen;
}

function watchAll(connection: Connection, options: FollowOptions = {}): Promise<number[]> {
  return sequences(watchRun(connection, { name: "runs/a", afterSequence: 0 }, { delaysMs, ...options }));
}

Deno.test("watchRun() continues after the last event seen when the connection breaks", async () => {
  const fake = scriptedRun("a");
  const asked: number[] = [];
  const waits: number[] = [];
  const overrides: Overrides = {
    training: {
      async *watchRun({ afterSequence }, { signal }) {
        asked.push(afterSequence);
        for (const event of fake.events.slice(afterSequence)) {
          yield { event };
          if (asked.length === 1 && event.sequence === 4) {
            setTimeout(() => server?.dropConnections(), 20);
            await new Promise((resolve) => signal.addEventListener("abort", resolve));
          }
        }
      },
    },
  };
  let server: FakeServer | undefined;
  await withServer(overrides, async (connection, started) => {
    server = started;
    assertEquals(await watchAll(connection, { onReconnect: (ms) => waits.push(ms) }), [1, 2, 3, 4, 5, 6, 7, 8]);
  });
  assertEquals(asked, [0, 4]);
  assertEquals(waits, [1]);
});

Deno.test("watchRun() looks again when a server that stops ends the stream of a running run in order", async () => {
  const fake = scriptedRun("a");
  let opened = 0;
  const overrides: Overrides = {
    training: {
      async *watchRun({ afterSequence }) {
        fake.run.state = ++opened === 1 ? RunState.RUNNING : RunState.SUCCEEDED;
        for (const event of fake.events.slice(afterSequence, opened === 1 ? 5 : undefined)) yield { event };
      },
      getRun: () => ({ run: fake.run }),
    },
  };
  await withServer(overrides, async (connection) => {
    assertEquals(await watchAll(connection), [1, 2, 3, 4, 5, 6, 7, 8]);
    assertEquals(opened, 2);
  });
});

Deno.test("watchRun() ends for a run that has ended before the events asked for", async () => {
  await withServer({}, async (connection, server) => {
    const fake = scriptedRun("a");
    server.runs.set(fake.run.name, fake);
    assertEquals(await sequences(watchRun(connection, { name: "runs/a", afterSequence: 8 }, { delaysMs })), []);
  });
});

Deno.test("watchRun() gives up after its last attempt, and says that the run may go on", async () => {
  const overrides: Overrides = {
    training: {
      async *watchRun({ afterSequence }) {
        if (afterSequence === 0) yield { event: scriptedRun("a").events[0] };
        throw new ConnectError("The server is stopping", Code.Unavailable);
      },
    },
  };
  await withServer(overrides, async (connection, { calls }) => {
    const error = await assertRejects(() => watchAll(connection), CommandError, "./multistep watch runs/a");
    assert(error.message.startsWith(`Lost the connection to ${connection.address}; runs/a may go on there`));
    // The first, which gave an event, and one after each wait.
    assertEquals(calls.length, 1 + delaysMs.length);
  });
});

Deno.test("watchRun() does not try again what the server refuses", async () => {
  await withServer({}, async (connection, { calls }) => {
    await assertRejects(() => watchAll(connection), ConnectError, 'Cannot find run "runs/a"');
    assertEquals(calls, ["watchRun"]);
  });
});

Deno.test("watchRun() fails at once where no server listens", async () => {
  const connection = connect("127.0.0.1:1");
  const failure = assertRejects(() => watchAll(connection, { onReconnect: () => assert(false) }), ConnectError);
  await failure;
  connection.close();
});

Deno.test("watchRun() ends with the reason of its signal, while waiting too", async () => {
  const reason = new Error("enough");
  const interruption = new AbortController();
  const overrides: Overrides = {
    training: {
      async *watchRun() {
        yield { event: scriptedRun("a").events[0] };
        throw new ConnectError("The server is stopping", Code.Unavailable);
      },
    },
  };
  await withServer(overrides, async (connection) => {
    const options = { delaysMs: [60_000], signal: interruption.signal };
    const watching = watchAll(connection, { ...options, onReconnect: () => interruption.abort(reason) });
    await assertRejects(() => watching, Error);
  });
});

Deno.test("startRun() asks with the same request id again when the connection breaks before the first event", async () => {
  const ids: string[] = [];
  const overrides: Overrides = {
    training: {
      async *train({ requestId }) {
        ids.push(requestId);
        if (ids.length === 1) throw new ConnectError("The server is starting", Code.Unavailable);
        for (const event of scriptedRun("a").events) yield { event };
      },
    },
  };
  await withServer(overrides, async (connection) => {
    assertEquals((await sequences(startRun(connection, {}, { delaysMs }))).length, 8);
  });
  assertEquals(ids.length, 2);
  assertEquals(ids[0], ids[1]);
  assert(ids[0].length > 0 && ids[0].length <= 128);
});
