/** What is to be imported as a data set, and how. */
import type { ImageSize } from "../../data/mod.ts";
import type { ImportDatasetRequest, UploadHeader } from "../../gen/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import { checkName, checkText } from "./fields.ts";
import { checkImageSize } from "./model_spec.ts";

/** Not yet known to be one that the server may read or fetch. */
export type ImportPlace =
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "url"; readonly url: URL; readonly sha256?: string }
  | { readonly kind: "known"; readonly name: string };

export interface ImportFormat {
  readonly name: string;
  readonly streamed: boolean;
  /** Undefined: the reader's choice. */
  readonly image?: ImageSize;
  /** Undefined: the source's own. */
  readonly classNames?: readonly string[];
}

export interface ImportOrder extends ImportFormat {
  readonly place: ImportPlace;
  /** 64 hexadecimal digits, of a path. Undefined: not looked at. */
  readonly sha256?: string;
}

/** @throws {InvalidFieldError} */
export function checkImportDataset(request: ImportDatasetRequest): ImportOrder {
  const sha256 = checkSha256(request.sha256);
  const place = checkPlace(request, sha256);
  return { ...checkFormat(request), place, sha256: place.kind === "path" ? sha256 : undefined };
}

function checkPlace({ path, url, known }: ImportDatasetRequest, sha256: string | undefined): ImportPlace {
  const given = [path, url, known].filter((place) => place !== "").length;
  if (given > 1) throw new InvalidFieldError("path", path, "the only one of path, url and known that is set");
  if (known !== "") {
    if (sha256 !== undefined) throw new InvalidFieldError("sha256", sha256, "left out beside known");
    return { kind: "known", name: checkName("known", known) };
  }
  if (url === "") return { kind: "path", path: checkText("path", path, { min: 1, max: 4096 }) };
  return { kind: "url", url: checkUrl(url, sha256), sha256 };
}

function checkUrl(text: string, sha256: string | undefined): URL {
  const url = URL.canParse(checkText("url", text, { min: 1, max: 4096 })) ? new URL(text) : undefined;
  if (url?.protocol === "https:" || (url?.protocol === "http:" && sha256 !== undefined)) return url;
  // Anyone on the way could change what comes by http.
  throw new InvalidFieldError("url", text, "an https address, or an http one with a SHA-256");
}

export interface UploadOrder extends ImportFormat {
  readonly fileName: string;
  readonly bytes: number;
  readonly sha256?: string;
}

/** @throws {InvalidFieldError} */
export function checkUploadHeader(header: UploadHeader): UploadOrder {
  const { totalBytes } = header;
  if (totalBytes < 1n || totalBytes > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new InvalidFieldError("header.total_bytes", totalBytes, "the file's length, at least 1");
  }
  return {
    ...checkFormat(header),
    fileName: checkText("header.file_name", header.fileName, { min: 0, max: 1024 }),
    bytes: Number(totalBytes),
    sha256: checkSha256(header.sha256),
  };
}

function checkFormat(
  { name, streamed, image, classNames }: Pick<ImportDatasetRequest, "name" | "streamed" | "image" | "classNames">,
): ImportFormat {
  return {
    name: checkName("name", name),
    streamed,
    image: image && checkImageSize("image", image),
    classNames: classNames.length === 0
      ? undefined
      : classNames.map((className, i) => checkText(`class_names[${i}]`, className, { min: 1, max: 256 })),
  };
}

function checkSha256(value: string): string | undefined {
  if (value === "") return undefined;
  if (/^[0-9a-f]{64}$/i.test(value)) return value;
  throw new InvalidFieldError("sha256", value.slice(0, 80), "64 hexadecimal digits");
}
