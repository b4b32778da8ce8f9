/** UploadDataset on a real server with real data sets. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type Connection } from "../../src/cli/connection.ts";
import { createCatalog, createToken } from "../../src/server/mod.ts";
import { png } from "../data/fixtures.ts";
import { zip } from "../data/zip_fixture.ts";
import { FakeCatalog } from "../support/fake_catalog.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../support/test_server.ts";
import { until } from "../support/until.ts";

async function withServer(
  options: TestServerOptions,
  test: (connection: Connection, server: TestServer) => Promise<void>,
): Promise<void> {
  const dataDir = await Deno.makeTempDir();
  try {
    await using server = await startTestServer({ dataDir, catalog: createCatalog(dataDir), ...options });
    const connection = connect(server.address);
    try {
      await test(connection, server);
    } finally {
      connection.close();
    }
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function petsArchive(): Promise<Uint8Array> {
  const image = await png({ width: 4, height: 4 }, "red");
  return zip(...["train/a", "train/b", "test/a", "test/b"].map((at) => ({ name: `${at}/0.png`, content: image })));
}

interface Sent {
  name?: string;
  totalBytes?: bigint;
  data?: Uint8Array[];
  /** After the messages. */
  then?: () => Promise<void>;
}

function upload(connection: Connection, { name = "pets", data = [], then, ...header }: Sent, signal?: AbortSignal) {
  const totalBytes = header.totalBytes ?? BigInt(data.reduce((sum, { length }) => sum + length, 0));
  async function* messages() {
    yield { kind: { case: "header", value: { name, fileName: "pets.zip", totalBytes } } } as const;
    for (const value of data) yield { kind: { case: "data", value } } as const;
    await then?.();
  }
  return connection.catalog.uploadDataset(messages(), { signal });
}

/** What a client says nothing for, until the test is over: Connect waits for a request's end. */
class Silence implements Disposable {
  readonly #broken = Promise.withResolvers<void>();
  readonly kept = () => this.#broken.promise;

  [Symbol.dispose](): void {
    this.#broken.resolve();
  }
}

async function refused(call: Promise<unknown>, code: Code, text: string): Promise<void> {
  const error = await assertRejects(() => call, ConnectError, text);
  assertEquals(Code[error.code], Code[code]);
}

/** What lies in the folder of data sets. */
function left({ dataDir }: TestServer): string[] {
  try {
    return [...Deno.readDirSync(join(dataDir, "datasets"))].map(({ name }) => name).sort();
  } catch {
    return [];
  }
}

Deno.test("UploadDataset takes a file in pieces and registers it", async () => {
  await withServer({}, async (connection, server) => {
    const archive = await petsArchive();
    const data = [archive.subarray(0, 10), new Uint8Array(), archive.subarray(10)];
    const { dataset, report } = await upload(connection, { data });
    assertEquals([dataset?.name, dataset?.trainImages, report?.classes.length], ["pets", 2, 2]);
    assertEquals(left(server), ["pets"]);
  });
});

Deno.test("UploadDataset checks name, size and room before it takes any of the content", async () => {
  await withServer({ maxSourceBytes: 2 ** 40 }, async (connection, server) => {
    using silence = new Silence();
    const none = { then: silence.kept };
    await upload(connection, { data: [await petsArchive()] });
    await refused(
      upload(connection, { ...none, totalBytes: 10n }),
      Code.AlreadyExists,
      "there is a data set of that name",
    );
    await refused(upload(connection, { ...none, name: "../x", totalBytes: 10n }), Code.InvalidArgument, 'Field "name"');
    await refused(upload(connection, { ...none, name: "x", totalBytes: 2n ** 41n }), Code.InvalidArgument, "at most");
    await refused(
      upload(connection, { ...none, name: "x", totalBytes: 2n ** 40n }),
      Code.FailedPrecondition,
      "Cannot take pets.zip: the server's disk has",
    );
    assertEquals(left(server), ["pets"]);
  });
});

Deno.test("UploadDataset refuses messages out of order, too long ones, and what is no data set", async () => {
  await withServer({}, async (connection, server) => {
    const call = (messages: object[]) => connection.catalog.uploadDataset(of(messages));
    async function* of(messages: object[]) {
      yield* messages;
    }
    await refused(call([]), Code.InvalidArgument, 'Field "header" must be the first message of an upload');
    await refused(call([{ kind: { case: "data", value: new Uint8Array(1) } }]), Code.InvalidArgument, 'Field "header"');
    const header = { kind: { case: "header", value: { name: "pets", fileName: "a", totalBytes: 5n } } };
    await refused(call([header, header]), Code.InvalidArgument, 'Field "data"');
    await refused(
      upload(connection, { data: [new Uint8Array(2 ** 20 + 1)] }),
      Code.InvalidArgument,
      "at most 1048576 bytes",
    );
    await refused(upload(connection, { data: [new Uint8Array(10)] }), Code.InvalidArgument, "Cannot import this file");
    assertEquals(left(server), []);
  });
});

Deno.test("UploadDataset keeps nothing of a client that goes away or falls silent", async () => {
  const archive = await petsArchive();
  const half = { totalBytes: BigInt(archive.length), data: [archive.subarray(0, 100)] };
  await withServer({ limits: { stallTimeout: 300 } }, async (connection, server) => {
    await refused(upload(connection, half), Code.InvalidArgument, "Cannot take pets.zip: 100 bytes came");
    using silence = new Silence();
    const call = upload(connection, { ...half, then: silence.kept });
    await refused(call, Code.DeadlineExceeded, "Nothing of the upload came for 0.3 s");
    await until(() => left(server).length === 0);
  });
  await withServer({}, async (connection, server) => {
    // More than fit at a time, one after another: each gives its place back.
    for (let i = 0; i < 6; i++) {
      using silence = new Silence();
      const [leaving, aborted] = [connect(server.address), new AbortController()];
      const call = upload(leaving, { ...half, then: silence.kept }, aborted.signal);
      call.catch(() => {});
      await until(() => left(server).length === 1);
      if (i % 2 === 0) leaving.close();
      else aborted.abort();
      await until(() => left(server).length === 0);
      leaving.close();
    }
    await upload(connection, { data: [archive] });
  });
});

Deno.test("UploadDataset takes four at a time, and needs a token that may write", async () => {
  await withServer({}, async (connection, server) => {
    using silence = new Silence();
    const silent = { totalBytes: 10n, then: silence.kept };
    const calls = ["a", "b", "c", "d"].map((name) => upload(connection, { ...silent, name }));
    for (const call of calls) call.catch(() => {});
    await until(() => left(server).length === 4);
    await refused(upload(connection, { ...silent, name: "e" }), Code.ResourceExhausted, "at most 4 uploads at a time");
  });
  const [reader, writer] = await Promise.all([createToken("reader", "read"), createToken("writer", "write")]);
  const tokenFile = await Deno.makeTempFile();
  await Deno.writeTextFile(tokenFile, `${reader.line}\n${writer.line}\n`);
  await withServer({ tokenFile }, async (_connection, server) => {
    for (const [token, isAllowed] of [[reader.token, false], [writer.token, true]] as const) {
      const connection = connect(server.address, { token });
      const call = upload(connection, { data: [await petsArchive()] });
      if (isAllowed) await call;
      else await refused(call, Code.PermissionDenied, 'needs a token with the scope "write"');
      connection.close();
    }
  });
  await Deno.remove(tokenFile);
});

Deno.test("UploadDataset takes no more from the network than it writes", async () => {
  const released = Promise.withResolvers<void>();
  class Slow extends FakeCatalog {
    override async importDataset(...args: Parameters<FakeCatalog["importDataset"]>) {
      await released.promise;
      return await super.importDataset(...args);
    }
  }
  await withServer({ catalog: new Slow() }, async (connection) => {
    const before = connection.bytesSent();
    const data = Array.from({ length: 32 }, () => new Uint8Array(2 ** 20));
    const call = upload(connection, { data });
    let sent = -1;
    while (sent !== connection.bytesSent() - before) {
      sent = connection.bytesSent() - before;
      await delay(200);
    }
    assert(sent > 1000 && sent < 2 ** 20, `${sent}`);
    released.resolve();
    await call;
  });
});
