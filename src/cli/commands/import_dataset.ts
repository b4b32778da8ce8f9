/** `datasets import` and `datasets fetch` register data sets that the server can read or fetch. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type ImportDatasetRequestSchema, type ImportProgress, type ImportReport } from "../../gen/mod.ts";
import { type ClientSession, defineClientCommand } from "../command.ts";
import { showImported } from "../dataset_view.ts";
import { CommandError, UsageError } from "../errors.ts";
import { formatBytes, formatCount } from "../format.ts";
import { importFormatOptions, readImportFormat } from "../import_options.ts";
import { interruptible } from "../interruptible.ts";
import { optional } from "../options.ts";
import type { ProgressState } from "../progress.ts";
import { serverPath } from "../server_path.ts";
import { text } from "../values.ts";

export const importCommand = defineClientCommand({
  name: "import",
  summary:
    "Registers a folder SPLIT/CLASS/*.jpg|png|webp or a zip of it, CIFAR, idx, npz, WebDataset or Parquet files, where " +
    "the server can read or fetch",
  options: {
    from: optional(text("PATH|URL"), "Another way to say PATH|URL"),
    ...importFormatOptions,
    sha256: optional(text("HEX"), "The checksum that the file must have; needed of an http address"),
  },
  positionals: { placeholder: "NAME [PATH|URL]", minimum: 1, maximum: 2 },
  async run({ values, positionals: [name, given] }, session) {
    const from = given ?? values.from;
    if (from === undefined || (given !== undefined && values.from !== undefined)) {
      throw new UsageError("datasets import needs one path or URL: datasets import NAME --from PATH|URL");
    }
    const place = /^https?:\/\//i.test(from) ? { url: from } : { path: await serverPath(from) };
    return await runImport(session, { name, ...place, sha256: values.sha256, ...readImportFormat(values) });
  },
});

export const fetchCommand = defineClientCommand({
  name: "fetch",
  summary:
    "Registers cifar10, cifar100, mnist-full or fashion-mnist, which the server fetches from where it is published",
  options: { as: optional(text("NAME"), "What it is called here (default: as there)") },
  positionals: { placeholder: "KNOWN", minimum: 1, maximum: 1 },
  run: ({ values, positionals: [known] }, session) => runImport(session, { name: values.as ?? known, known }),
});

/** @returns the exit code @throws {CommandError} @throws {InterruptedError} */
async function runImport(
  { connection, context, output }: ClientSession,
  request: MessageInitShape<typeof ImportDatasetRequestSchema>,
): Promise<number> {
  return await interruptible(context, "the same command goes on where this one was", async (signal) => {
    let report: ImportReport | undefined;
    for await (const { kind } of connection.catalog.importDataset(request, { signal })) {
      if (kind.case === "progress") output.progress.update(progressOf(kind.value));
      if (kind.case === "report") report = kind.value;
      if (kind.case === "dataset") {
        showImported(kind.value, report, output);
        return 0;
      }
    }
    throw new CommandError("The server ended the import without a data set");
  });
}

function progressOf({ imagesDone, imagesTotal, bytesDone, bytesTotal }: ImportProgress): ProgressState {
  if (imagesTotal === 0 && bytesDone > 0n) {
    const total = bytesTotal === 0n ? "" : ` of ${formatBytes(bytesTotal)}`;
    return { done: Number(bytesDone), total: Number(bytesTotal), text: `fetched ${formatBytes(bytesDone)}${total}` };
  }
  const text = `imported ${formatCount(imagesDone)}/${formatCount(imagesTotal)}`;
  return { done: imagesDone, total: imagesTotal, text };
}
