import { assertEquals, assertRejects } from "@std/assert";
import { DatasetError, DatasetRegistry } from "../../src/data/mod.ts";
import { fileNames, gzip, TemporaryFolder } from "./fixtures.ts";
import { zip, type ZipMember } from "./zip_fixture.ts";

/** An idx file: magic number, big-endian sides, bytes. */
function idx(shape: number[], values: ArrayLike<number>, type = 8): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + values.length);
  bytes.set([0, 0, type, shape.length]);
  shape.forEach((side, i) => new DataView(bytes.buffer).setUint32(4 + 4 * i, side));
  bytes.set(Array.from(values), 4 + 4 * shape.length);
  return bytes;
}

/** Image i of 2x3 pixels counts up from 10 i. */
function ramp(images: number, bytes: number): number[] {
  return Array.from({ length: images * bytes }, (_, i) => Math.floor(i / bytes) * 10 + i % bytes);
}

function idxFiles(): Record<string, Uint8Array> {
  return {
    "train-images-idx3-ubyte": idx([4, 2, 3], ramp(4, 6)),
    "train-labels-idx1-ubyte": idx([4], [1, 0, 2, 0]),
    "t10k-images-idx3-ubyte": idx([3, 2, 3], ramp(3, 6)),
    "t10k-labels-idx1-ubyte": idx([3], [0, 1, 2]),
  };
}

/** `descr` as NumPy writes it; `values` are stored as bytes unless given as a typed array. */
function npy(shape: number[], values: Uint8Array, { type = "|u1", order = "False", version = 1 } = {}): Uint8Array {
  const sides = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const header = `{'descr': '${type}', 'fortran_order': ${order}, 'shape': (${sides}), }`;
  const text = new TextEncoder().encode(header.padEnd(117) + "\n");
  const length = version === 1 ? [text.length, 0] : [text.length, 0, 0, 0];
  return Uint8Array.from([0x93, ...new TextEncoder().encode("NUMPY"), version, 0, ...length, ...text, ...values]);
}

const bytesOf = (numbers: BigInt64Array | Int32Array) => new Uint8Array(numbers.buffer);

function npzArrays(): Record<string, Uint8Array> {
  return {
    x_train: npy([4, 2, 3], Uint8Array.from(ramp(4, 6))),
    y_train: npy([4], bytesOf(BigInt64Array.from([1n, 0n, 2n, 0n])), { type: "<i8" }),
    x_test: npy([3, 2, 3], Uint8Array.from(ramp(3, 6)), { version: 2 }),
    y_test: npy([3, 1], bytesOf(Int32Array.from([0, 1, 2])), { type: "<i4" }),
  };
}

function npz(arrays: Record<string, Uint8Array>, deflate = false): Uint8Array {
  const members: ZipMember[] = Object.entries(arrays).map(([name, content]) => (
    { name: `${name}.npy`, content, deflate }
  ));
  return zip(...members);
}

async function importFiles(folder: TemporaryFolder, files: Record<string, Uint8Array>, root = "set") {
  for (const [name, bytes] of Object.entries(files)) await folder.write(`${root}/${name}`, bytes);
  return await new DatasetRegistry(folder.join("data")).import("set", folder.join(root));
}

async function failure(source: (folder: TemporaryFolder) => Promise<string>): Promise<string> {
  await using folder = await TemporaryFolder.create();
  const path = await source(folder);
  const registry = new DatasetRegistry(folder.join("data"));
  const error = await assertRejects(() => registry.import("set", path), DatasetError);
  assertEquals(error.kind, "invalid");
  assertEquals(await fileNames(folder.join("data", "datasets")), []);
  return error.message;
}

const idxFailure = (changed: Record<string, Uint8Array>) =>
  failure(async (folder) => {
    for (const [name, bytes] of Object.entries({ ...idxFiles(), ...changed })) await folder.write(`set/${name}`, bytes);
    return folder.join("set");
  });
const npzFailure = (changed: Record<string, Uint8Array>) =>
  failure((folder) => folder.write("set.npz", npz({ ...npzArrays(), ...changed })));

async function assertRamps(folder: TemporaryFolder): Promise<void> {
  const registry = new DatasetRegistry(folder.join("data"));
  const train = await registry.load("set", "train");
  assertEquals([Array.from(train.pixels), Array.from(train.labels)], [ramp(4, 6), [1, 0, 2, 0]]);
  const test = await registry.load("set", "test");
  assertEquals([Array.from(test.pixels), Array.from(test.labels)], [ramp(3, 6), [0, 1, 2]]);
}

Deno.test("import() reads MNIST's idx files, plain and in gzip, under the names of mirrors too", async () => {
  for (const variant of ["plain", "gzip", "dots"]) {
    await using folder = await TemporaryFolder.create();
    const files = Object.entries(idxFiles()).map(([name, bytes]): [string, Uint8Array] => {
      if (variant === "gzip") return [`${name}.gz`, gzip(bytes)];
      return [variant === "dots" ? name.replace(/-(?=idx)/, ".") : name, bytes];
    });
    const set = await importFiles(folder, Object.fromEntries(files));
    assertEquals([set.height, set.width, set.channels], [2, 3, 1]);
    assertEquals([set.classNames, set.horizontalFlip], [["0", "1", "2"], false]);
    assertEquals(set.description, "Images in MNIST's format of 3 classes, 2x3x1: 4 to train, 3 to test");
    await assertRamps(folder);
  }
});

Deno.test("import() names the classes of Fashion-MNIST, by the folder's name", async () => {
  await using folder = await TemporaryFolder.create();
  const labels = Array.from({ length: 10 }, (_, i) => i);
  const { classNames, description } = await importFiles(folder, {
    "train-images-idx3-ubyte": idx([10, 2, 3], ramp(10, 6)),
    "train-labels-idx1-ubyte": idx([10], labels),
    "t10k-images-idx3-ubyte": idx([10, 2, 3], ramp(10, 6)),
    "t10k-labels-idx1-ubyte": idx([10], labels),
  }, "fashion-mnist");
  assertEquals([classNames.length, classNames[0], classNames[9]], [10, "T-shirt/top", "Boot"]);
  assertEquals(description, "Fashion-MNIST of 10 classes, 2x3x1: 10 to train, 10 to test");
});

Deno.test("import() takes names for numbered classes", async () => {
  await using folder = await TemporaryFolder.create();
  const path = await folder.write("set.npz", npz(npzArrays()));
  const registry = new DatasetRegistry(folder.join("data"));
  assertEquals((await registry.import("set", path, { classNames: ["x", "y", "z"] })).classNames, ["x", "y", "z"]);
  const failed = await assertRejects(() => registry.import("more", path, { classNames: ["x", "y"] }), DatasetError);
  assertEquals(failed.message, "Cannot name the classes: there are 3 of them and 2 names");
});

Deno.test("import() names the idx file that is wrong", async () => {
  const name = "train-labels-idx1-ubyte";
  assertEquals(
    await idxFailure({ [name]: idx([3], [0, 1, 2]) }),
    `Cannot use train-images-idx3-ubyte and ${name}: 4 images and 3 labels`,
  );
  assertEquals(
    await idxFailure({ [name]: idx([4], [0, 1, 2]) }),
    `Cannot use ${name}: it has 11 bytes where 4 values with a header have 12`,
  );
  assertEquals(
    await idxFailure({ [name]: idx([4], [0, 1, 2, 0], 13) }),
    `Cannot use ${name}: its elements are of type 13: must be 8, bytes`,
  );
  assertEquals(
    await idxFailure({ [name]: new TextEncoder().encode("hello, world") }),
    `Cannot use ${name}: it does not begin as an idx file of 1 dimension does`,
  );
  assertEquals(
    await idxFailure({ [name]: gzip(idx([4], [0, 1, 2, 0])).subarray(0, 20) }),
    `Cannot use ${name}: it cannot be decompressed to its end, or has more than 2 GiB`,
  );
  assertEquals(await idxFailure({ [name]: idx([4], [0, 1, 0, 3]) }), 'Class "2" has no image to train');
  assertEquals(
    await idxFailure({ "t10k-images-idx3-ubyte": idx([3, 3, 2], ramp(3, 6)) }),
    "Images to train are 2x3x1, to test 3x2x1: must be of one size",
  );
  const missing = await failure(async (folder) => {
    await folder.write("set/train-images-idx3-ubyte", idx([4, 2, 3], ramp(4, 6)));
    return folder.join("set");
  });
  assertEquals(
    missing,
    "Cannot find train-labels-idx1-ubyte(.gz): a data set in MNIST's format has four files, of images and labels that " +
      "begin with train- and t10k-",
  );
});

Deno.test("import() reads NumPy's arrays, plain and compressed", async () => {
  for (const deflate of [false, true]) {
    await using folder = await TemporaryFolder.create();
    const path = await folder.write("set.npz", npz(npzArrays(), deflate));
    const set = await new DatasetRegistry(folder.join("data")).import("set", path);
    assertEquals([set.height, set.width, set.channels], [2, 3, 1]);
    assertEquals(set.description, "NumPy arrays of 3 classes, 2x3x1: 4 to train, 3 to test");
    await assertRamps(folder);
  }
});

Deno.test("import() reads NumPy's arrays of colour images", async () => {
  await using folder = await TemporaryFolder.create();
  const arrays = {
    ...npzArrays(),
    x_train: npy([4, 1, 2, 3], Uint8Array.from(ramp(4, 6))),
    x_test: npy([3, 1, 2, 3], Uint8Array.from(ramp(3, 6))),
  };
  const path = await folder.write("set.npz", npz(arrays));
  const set = await new DatasetRegistry(folder.join("data")).import("set", path);
  assertEquals([set.height, set.width, set.channels, set.horizontalFlip], [1, 2, 3, true]);
  await assertRamps(folder);
});

Deno.test("import() refuses NumPy's arrays of other types, orders and shapes by name", async () => {
  const pixels = Uint8Array.from(ramp(4, 6));
  const four = Uint8Array.from([1, 0, 2, 0]);
  const cases: [Record<string, Uint8Array>, string][] = [
    [
      { x_train: npy([4, 2, 3], pixels, { order: "True" }) },
      "Cannot use x_train: it is in Fortran's order: save it with ",
    ],
    [
      { x_train: npy([4, 3], pixels, { type: "<f4" }) },
      "Cannot use x_train: its elements are of type <f4: must be whole",
    ],
    [
      { x_train: npy([4, 3], pixels, { type: "|O" }) },
      "Cannot use x_train: its elements are of type |O: must be whole",
    ],
    [
      { x_train: npy([4, 3], pixels, { type: "<u2" }) },
      "Cannot use x_train: its elements are of type <u2, must be |u1",
    ],
    [
      { x_train: npy([4, 6], pixels) },
      "Cannot use x_train: its shape is (4, 6), must be (images, height, width), or with",
    ],
    [
      { x_train: npy([4, 3, 2, 1], pixels.subarray(1)) },
      "Cannot use x_train: it has 23 bytes of elements where its shape",
    ],
    [{ x_train: npy([4, 3, 1, 2], pixels) }, "Cannot use x_train: its shape is (4, 3, 1, 2), must be"],
    [{ x_train: new TextEncoder().encode("hello, world!") }, "Cannot use x_train: it is no NumPy array"],
    [{ y_train: npy([2, 2], four) }, "Cannot use y_train: its shape is (2, 2), must be (images) or (images, 1)"],
    [{ y_train: npy([3], four.subarray(1)) }, "Cannot use x_train and y_train: 4 images and 3 labels"],
    [
      { y_train: npy([4], Uint8Array.from([1, 0, 255, 0]), { type: "|i1" }) },
      "Cannot use y_train: element 2 is -1, must be a class index from 0",
    ],
  ];
  for (const [changed, message] of cases) {
    const said = await npzFailure(changed);
    assertEquals(said.slice(0, message.length), message);
  }
  const { y_test: _, ...without } = npzArrays();
  assertEquals(
    await failure((folder) => folder.write("set.npz", npz(without))),
    "Archive has no array y_test: must have x_train, y_train, x_test, y_test, has x_test, x_train, y_train",
  );
});
