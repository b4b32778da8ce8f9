import { resolve } from "node:path";

/** A path for the server, which stands elsewhere: what is here is named in full; what isn't may be in its data folder. */
export async function serverPath(path: string): Promise<string> {
  try {
    await Deno.stat(path);
    return resolve(path);
  } catch {
    return path;
  }
}
