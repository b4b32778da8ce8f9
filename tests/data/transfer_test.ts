import { assert, assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import {
  DatasetError,
  DatasetRegistry,
  fetchedFiles,
  type FetchOptions,
  KNOWN_DATASETS,
  knownSource,
  receivedFile,
  type RemoteFile,
} from "../../src/data/mod.ts";
import { isPublicAddress } from "../../src/data/transfer/public_address.ts";
import { safeFileName } from "../../src/data/transfer/transferred_source.ts";
import { SmallDisk, smallDiskProblem } from "../support/small_disk.ts";
import { type FileServer, serveFiles } from "./file_server.ts";
import { cifar10Files, fileNames, gzip, sha256, tar, tarMember, TemporaryFolder } from "./fixtures.ts";

const ROOM = { maxBytes: 2 ** 30, shortage: () => undefined };
const OPTIONS: FetchOptions = { allowPrivate: true, limits: ROOM, delays: [1, 1] };

function cifarArchive(): Uint8Array {
  const members = Object.entries(cifar10Files());
  return gzip(tar(...members.map(([name, bytes]) => tarMember(`cifar-10-batches-bin/${name}`, bytes))));
}

/** Incompressible, so that an answer is sent in pieces. */
function noise(bytes: number): Uint8Array {
  const made = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(made.subarray(at, at + 65_536));
  return made;
}

interface Fetching {
  readonly folder: TemporaryFolder;
  readonly server: FileServer;
  readonly file?: Partial<RemoteFile>;
  readonly options?: Partial<FetchOptions>;
}

/** Brings "/file.bin" of a server into a folder. */
async function fetchFile({ folder, server, file, options }: Fetching): Promise<Uint8Array> {
  const url = new URL("/file.bin", server.url);
  const content = server.files.get("/file.bin") ?? new Uint8Array();
  const source = fetchedFiles([{ url, sha256: await sha256(content), ...file }], { ...OPTIONS, ...options });
  return await Deno.readFile(await source.bring(folder.path, { signal: new AbortController().signal }));
}

async function refusal(fetching: Fetching): Promise<[string, string]> {
  const error = await assertRejects(() => fetchFile(fetching), DatasetError);
  return [error.kind, error.message.replaceAll(fetching.server.url, "SERVER")];
}

Deno.test("import() of a URL fetches, checks and imports it, and leaves nothing else", async () => {
  await using folder = await TemporaryFolder.create();
  const archive = cifarArchive();
  await using server = await serveFiles({ "/data/cifar-10-binary.tar.gz": archive });
  const url = new URL("/data/cifar-10-binary.tar.gz?token=secret", server.url);
  server.files.set("/data/cifar-10-binary.tar.gz?token=secret", archive);
  const bytes: [number, number][] = [];
  const source = fetchedFiles([{ url, sha256: (await sha256(archive)).toUpperCase() }], OPTIONS);
  const registry = new DatasetRegistry(folder.join("data"));
  const { images } = await registry.import("cifar", source, { onBytes: (...told) => void bytes.push(told) });
  assertEquals(images, { train: 4, test: 1 });
  assertEquals(bytes.at(-1), [archive.length, archive.length]);
  assertEquals(await fileNames(folder.join("data", "datasets")), ["cifar"]);
  assertEquals((await fileNames(folder.join("data", "datasets", "cifar"))).length, 5);

  const wrong = fetchedFiles([{ url, sha256: "0".repeat(64) }], OPTIONS);
  const error = await assertRejects(() => registry.import("wrong", wrong), DatasetError);
  assert(error.message.endsWith(`: its SHA-256 is ${await sha256(archive)}, not ${"0".repeat(64)}`), error.message);
  assert(!error.message.includes("secret"));
  assertEquals(await fileNames(folder.join("data", "datasets")), ["cifar"]);
});

Deno.test("a download that is cut goes on by range, as often as it takes while bytes come", async () => {
  await using folder = await TemporaryFolder.create();
  const content = noise(400_000);
  await using server = await serveFiles({ "/file.bin": content });
  server.cuts.push(100_000, 50_000, 1_000, 60_000);
  assertEquals(await fetchFile({ folder, server }), content);
  const ranges = server.asked.map((asked) => asked.replace("/file.bin", "").trim());
  assertEquals([ranges.length, ranges[0]], [5, ""]);
  // How much of a cut answer arrives is the network's affair.
  assert(ranges.at(-1)?.startsWith("bytes="), ranges.join());
});

Deno.test("a download begins anew where the other server has no ranges, or another file by now", async () => {
  for (const change of ["no ranges", "no tag", "another file", "a shorter file"]) {
    await using folder = await TemporaryFolder.create();
    const content = noise(300_000);
    await using server = await serveFiles({ "/file.bin": content });
    server.cuts.push(200_000);
    if (change === "no tag") server.etag = undefined;
    const options = { delays: [] };
    assertEquals((await refusal({ folder, server, options }))[0], "unavailable");
    if (change === "no ranges") server.ranges = false;
    if (change === "another file") {
      server.etag = '"2"';
      server.files.set("/file.bin", noise(250_000));
    }
    if (change === "a shorter file") server.files.set("/file.bin", noise(10_000));
    assertEquals(await fetchFile({ folder, server }), server.files.get("/file.bin"), change);
  }
});

Deno.test("an import whose download was interrupted goes on with it when it is asked for again", async () => {
  await using folder = await TemporaryFolder.create();
  const members = Object.entries(cifar10Files()).map(([name, bytes]) => tarMember(`c/${name}`, bytes));
  const archive = tar(tarMember("c/noise", noise(500_000)), ...members);
  await using server = await serveFiles({ "/c.tar": archive });
  const registry = new DatasetRegistry(folder.join("data"));
  const source = () => fetchedFiles([{ url: new URL("/c.tar", server.url), md5: md5(archive) }], OPTIONS);
  // By the caller, who goes away, and by the other server, which goes on failing.
  const controller = new AbortController();
  const onBytes = () => controller.abort(new Error("stopped"));
  await assertRejects(() => registry.import("c", source(), { signal: controller.signal, onBytes }), Error, "stopped");
  server.status = 503;
  const failure = await assertRejects(
    () => registry.import("c", source()),
    DatasetError,
    "the server there answers 503",
  );
  assertEquals(failure.kind, "unavailable");
  assertEquals((await fileNames(folder.join("data", "datasets"))).length, 1);
  server.status = undefined;
  await registry.import("c", source());
  assert(server.asked.at(-1)?.startsWith("/c.tar bytes="), server.asked.join());
  assertEquals(await fileNames(folder.join("data", "datasets")), ["c"]);
});

function md5(content: Uint8Array): string {
  return createHash("md5").update(content).digest("hex");
}

Deno.test("fetching refuses files past the limits, whether they are announced or not", async () => {
  await using folder = await TemporaryFolder.create();
  await using server = await serveFiles({ "/file.bin": noise(1000) });
  const limits = (maxBytes: number, shortage?: string) => ({ limits: { maxBytes, shortage: () => shortage } });
  assertEquals(await refusal({ folder, server, options: limits(999) }), [
    "invalid",
    "Cannot fetch SERVER/file.bin: it has 1000 bytes, at most 999 are accepted",
  ]);
  assertEquals(await refusal({ folder, server, options: limits(1000, "the disk is nearly full") }), [
    "storage",
    "Cannot fetch SERVER/file.bin: the disk is nearly full",
  ]);
  const endless = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => {
    const body = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(100_000)) });
    return new Response(body);
  });
  const url = new URL(`http://127.0.0.1:${endless.addr.port}/file.bin`);
  const [kind, message] = await refusal({ folder, server, file: { url }, options: limits(1_000_000) });
  assertEquals([kind, message.split(": ")[1]], ["invalid", "it has more than the 1000000 bytes that are accepted"]);
  await endless.shutdown();
});

Deno.test("fetching asks no address that is not public, neither itself nor by a redirect or a name", async () => {
  await using folder = await TemporaryFolder.create();
  await using server = await serveFiles({ "/file.bin": noise(10) });
  const strict = { allowPrivate: false };
  const problem = "it leads to an address that is not public";
  assertEquals(await refusal({ folder, server, options: strict }), [
    "invalid",
    `Cannot fetch SERVER/file.bin: ${problem}`,
  ]);
  const byName = new URL(server.url.replace("127.0.0.1", "localhost") + "/file.bin");
  const [, message] = await refusal({ folder, server, file: { url: byName }, options: strict });
  assertEquals(message, `Cannot fetch ${byName.href}: ${problem}`);
  assertEquals(server.asked, []);

  // Redirects follow the same rules; the rule against plain http comes first here.
  server.redirects.set("/file.bin", "file:///etc/passwd");
  assertEquals(await refusal({ folder, server }), [
    "invalid",
    "Cannot fetch file:///etc/passwd: must be an https address",
  ]);
  server.redirects.set("/file.bin", "/file.bin");
  assertEquals(await refusal({ folder, server }), [
    "invalid",
    "Cannot fetch SERVER/file.bin: it redirects more than 5 times",
  ]);
  assertEquals(await refusal({ folder, server, file: { sha256: undefined } }), [
    "invalid",
    "Cannot fetch SERVER/file.bin: plain http needs a SHA-256",
  ]);
});

Deno.test("isPublicAddress() knows this machine, its networks and a cloud's metadata for what they are", () => {
  const no = "127.0.0.1 0.0.0.0 10.1.2.3 172.31.0.1 192.168.1.1 169.254.169.254 100.64.0.1 224.0.0.1 255.255.255.255 " +
    "::1 :: fe80::1 fd00::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: 2001:db8::1 ff02::1 x";
  for (const address of no.split(" ")) assertEquals(isPublicAddress(address), false, address);
  for (const address of ["1.1.1.1", "172.32.0.1", "9.255.255.255", "2606:4700::1111"]) {
    assertEquals(isPublicAddress(address), true, address);
  }
});

Deno.test("fetching tells what the other server says, and tries again what may pass", async () => {
  await using folder = await TemporaryFolder.create();
  await using server = await serveFiles({ "/file.bin": noise(10) });
  server.status = 404;
  assertEquals(await refusal({ folder, server }), [
    "invalid",
    "Cannot fetch SERVER/file.bin: the server there answers 404",
  ]);
  assertEquals(server.asked.length, 1);
  server.status = 500;
  assertEquals((await refusal({ folder, server }))[0], "unavailable");
  assertEquals(server.asked.length, 4);
  const url = new URL("https://no-such-host.invalid/file.bin");
  const [kind, message] = await refusal({ folder, server, file: { url } });
  assertEquals(kind, "unavailable");
  assert(message.startsWith("Cannot fetch https://no-such-host.invalid/file.bin: "), message);
});

Deno.test("known data sets have https addresses or checksums, and say how to go about it by hand", async () => {
  assertEquals([...KNOWN_DATASETS.keys()], ["cifar10", "cifar100", "mnist-full", "fashion-mnist"]);
  for (const { files } of KNOWN_DATASETS.values()) for (const { md5 } of files) assertEquals(md5?.length, 32);
  await using folder = await TemporaryFolder.create();
  await assertRejects(
    async () => await knownSource("imagenet", OPTIONS).bring(folder.path, { signal: new AbortController().signal }),
    DatasetError,
    'Cannot fetch "imagenet": known by name are cifar10, cifar100, mnist-full, fashion-mnist',
  );
});

Deno.test("several files are fetched into a folder, which tells what they are", async () => {
  await using folder = await TemporaryFolder.create();
  const idx = (shape: number[], values: Uint8Array) => {
    const header = new DataView(new ArrayBuffer(4 + 4 * shape.length));
    header.setUint32(0, 0x0800 + shape.length);
    shape.forEach((side, i) => header.setUint32(4 + 4 * i, side));
    return gzip(Uint8Array.from([...new Uint8Array(header.buffer), ...values]));
  };
  const labels = Uint8Array.from({ length: 10 }, (_, i) => i);
  const files = {
    "/train-images-idx3-ubyte.gz": idx([10, 2, 2], new Uint8Array(40)),
    "/train-labels-idx1-ubyte.gz": idx([10], labels),
    "/t10k-images-idx3-ubyte.gz": idx([10, 2, 2], new Uint8Array(40)),
    "/t10k-labels-idx1-ubyte.gz": idx([10], labels),
  };
  await using server = await serveFiles(files);
  const remote = Object.entries(files).map(([path, bytes]) => ({ url: new URL(path, server.url), md5: md5(bytes) }));
  const source = fetchedFiles(remote, { ...OPTIONS, folder: "fashion-mnist" });
  const { classNames } = await new DatasetRegistry(folder.join("data")).import("fashion", source);
  assertEquals(classNames.slice(0, 2), ["T-shirt/top", "Trouser"]);
});

Deno.test("a file that is received is what was announced, or nothing is left of it", async () => {
  await using folder = await TemporaryFolder.create();
  const archive = cifarArchive();
  const registry = new DatasetRegistry(folder.join("data"));
  const send = async (
    file: { bytes?: number; sha256?: string; name?: string; limits?: typeof ROOM; cut?: boolean },
  ) => {
    async function* chunks() {
      for (let at = 0; at < archive.length; at += 1000) yield archive.subarray(at, at + 1000);
      if (file.cut) throw new Error("the client is gone");
    }
    const announced = { name: "cifar.tar.gz", bytes: archive.length, ...file, chunks: chunks() };
    return await registry.import("cifar", receivedFile(announced, file.limits ?? ROOM));
  };
  const cases: [Parameters<typeof send>[0], string][] = [
    [
      { bytes: archive.length + 1 },
      `Cannot take cifar.tar.gz: ${archive.length} bytes came, ${archive.length + 1} were`,
    ],
    [{ bytes: 100 }, "Cannot take cifar.tar.gz: more came than the 100 bytes that were announced"],
    [{ sha256: "0".repeat(64) }, `Cannot take cifar.tar.gz: its SHA-256 is ${await sha256(archive)}, not 0000`],
    [{ limits: { ...ROOM, maxBytes: 10 } }, "at most 10 are accepted"],
    [{ cut: true }, "the client is gone"],
  ];
  for (const [file, message] of cases) {
    await assertRejects(() => send(file), Error, message);
    assertEquals(await fileNames(folder.join("data", "datasets")), []);
  }
  // A name is a name, wherever it would lead.
  assertEquals((await send({ sha256: await sha256(archive), name: "../../../c.tar.gz" })).images.train, 4);
  assertEquals(await fileNames(folder.path), ["data"]);
});

const noSmallDisk = smallDiskProblem();

Deno.test({
  name: `a disk that fills while a source comes is told, and nothing is left${noSmallDisk ? ` (${noSmallDisk})` : ""}`,
  ignore: noSmallDisk !== undefined,
  async fn() {
    using disk = new SmallDisk(2);
    const content = noise(4 * 2 ** 20);
    await using server = await serveFiles({ "/file.zip": content });
    const registry = new DatasetRegistry(disk.folder);
    const url = new URL("/file.zip", server.url);
    async function* chunks() {
      for (let at = 0; at < content.length; at += 65_536) yield content.subarray(at, at + 65_536);
    }
    const received = receivedFile({ name: "file.zip", bytes: content.length, chunks: chunks() }, ROOM);
    const fetched = fetchedFiles([{ url, sha256: await sha256(content) }], OPTIONS);
    for (const [source, task] of [[received, "Cannot take file.zip"], [fetched, `Cannot fetch ${url}`]] as const) {
      const error = await assertRejects(() => registry.import("pets", source), DatasetError);
      assertEquals([error.kind, error.message], ["storage", `${task}: the disk is full`]);
      assertEquals(await fileNames(`${disk.folder}/datasets`), []);
    }
  },
});

Deno.test("safeFileName() leaves a plain name", () => {
  const names = ["a.tar.gz", "../../etc/passwd", "C:\\x\\pets 1.zip", "..", "", "/", ".hidden", "p\u00e4ts.zip"];
  assertEquals(names.map(safeFileName), [
    ...["a.tar.gz", "passwd", "pets_1.zip", "source", "source", "source", "hidden", "p_ts.zip"],
  ]);
});
