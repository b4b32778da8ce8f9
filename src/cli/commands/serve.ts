/** `serve` runs a server until it is told to stop. */
import { defineCommand } from "../command.ts";
import { InterruptedError } from "../errors.ts";
import { defaulting, optional } from "../options.ts";
import { tuneOption } from "../tune_option.ts";
import { decimal, hostAndPort, integer, listOf, text } from "../values.ts";

export const serveCommand = defineCommand({
  name: "serve",
  summary: "Runs a server; Ctrl-C ends it in order, a second one at once",
  options: {
    listen: defaulting(hostAndPort(), "127.0.0.1:50051", "Where to listen; port 0 takes a free one"),
    "data-dir": optional(
      text("DIR"),
      "Where runs and data sets are kept (default: multistep in the user's data folder)",
    ),
    "import-folders": optional(
      listOf(text("DIR")),
      "Folders that data sets may be imported from, besides the data folder",
    ),
    "infer-max-wait-ms": defaulting(decimal("MS"), "2", "How long an image waits for others to share a batch with"),
    "infer-queue": defaulting(integer("N", { minimum: 1 }), "1024", "Images that may wait; further ones are refused"),
    tune: tuneOption,
  },
  async run({ values }, { context, output }) {
    const dataDir = values["data-dir"] ?? context.dataDir;
    let interrupts = 0;
    const firstInterrupt = Promise.withResolvers<void>();
    const secondInterrupt = Promise.withResolvers<never>();
    const removeHandler = context.onInterrupt(() => {
      if (++interrupts === 1) firstInterrupt.resolve();
      else secondInterrupt.reject(new InterruptedError());
    });
    try {
      const starting = context.local.serve({
        listen: values.listen,
        dataDir,
        importFolders: values["import-folders"] ?? [],
        inferenceLimits: { maxWait: values["infer-max-wait-ms"], queue: values["infer-queue"] },
        tune: values.tune,
        log: (line) => context.stderr.write(`${line}\n`),
      });
      const server = await Promise.race([starting, firstInterrupt.promise]);
      if (server === undefined) throw new InterruptedError();
      output.object({ address: server.address, data_dir: dataDir });
      output.lines(`Listening on ${server.address}, with data in ${dataDir}`);
      await firstInterrupt.promise;
      output.progress.note("Stopping; once more stops at once");
      await Promise.race([server.close(), secondInterrupt.promise]);
      return 0;
    } finally {
      removeHandler();
    }
  },
});
