/** Paths of requests: inside the data folder, or a folder that imports are allowed from, and nowhere else. */
import { isAbsolute, relative, resolve, sep } from "node:path";
import { InvalidFieldError, RequestError } from "./errors.ts";

/**
 * A file of the data folder by its relative path.
 * @param folder absolute, symbolic links resolved
 * @param field the request's, for the messages
 * @returns the path, relative to the folder, with forward slashes and without symbolic links
 * @throws {RequestError} invalid-argument: it leads out of the folder; not-found.
 */
export async function resolveInside(folder: string, field: string, path: string): Promise<string> {
  const absolute = resolve(folder, path);
  const outside = () => new InvalidFieldError(field, path, "a relative path inside the server's data folder");
  if (isAbsolute(path) || !isInside(folder, absolute)) throw outside();
  const real = await realPath(absolute);
  if (real === undefined) {
    throw new RequestError("not-found", `There is no file ${JSON.stringify(path)} in the data folder`);
  }
  if (!isInside(folder, real)) throw outside();
  return relative(folder, real).replaceAll(sep, "/");
}

/**
 * A file or folder that the server may read for an import.
 * @param path absolute, or relative to the data folder
 * @param folders the data folder first, then the allowed others; absolute, symbolic links resolved
 * @returns the absolute path without symbolic links
 * @throws {RequestError} permission-denied: in none of the folders; not-found.
 */
export async function resolveImport(path: string, folders: readonly string[]): Promise<string> {
  const [dataFolder] = folders;
  const absolute = resolve(dataFolder, path);
  const real = await realPath(absolute);
  // Whether a path outside exists is told to nobody.
  if (!folders.some((folder) => isInside(folder, real ?? absolute))) {
    // Neither are the folders, which are nobody's business but of who started the server.
    throw new RequestError(
      "permission-denied",
      'Field "path" must lie in the server\'s data folder or a folder of its --import-folders, ' +
        `got ${JSON.stringify(path)}`,
    );
  }
  if (real === undefined) throw new RequestError("not-found", `There is no file or folder ${JSON.stringify(path)}`);
  return real;
}

/** Undefined: there is nothing, or nothing that may be seen. */
async function realPath(path: string): Promise<string | undefined> {
  try {
    return await Deno.realPath(path);
  } catch {
    return undefined;
  }
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}
