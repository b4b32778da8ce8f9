/** Uses data/ in a thread of its own, as the engine does; what to use is in the address. */
import { DatasetRegistry, decodeImage } from "../../src/data/mod.ts";

const parameters = new URL(import.meta.url).searchParams;
const parameter = (name: string) => parameters.get(name) ?? "";

const registry = new DatasetRegistry(parameter("dataDir"));
const mnist = (await registry.load("mnist", "test")).count;
const pets = (await registry.load("pets", "train")).count;
const image = await Deno.readFile(parameter("image"));
const pixel = await decodeImage(image, { height: 1, width: 1, channels: 3 });
const channel = new BroadcastChannel(parameter("channel"));
channel.postMessage({ mnist, pets, pixel: Array.from(pixel) });
channel.close();
