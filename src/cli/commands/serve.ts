/** `serve` runs a server until it is told to stop. */
import { defineCommand } from "../command.ts";
import { InterruptedError } from "../errors.ts";
import { readServeOptions, serveOptions } from "./serve_options.ts";

export const serveCommand = defineCommand({
  name: "serve",
  summary: "Runs a server; Ctrl-C ends it in order, a second one at once",
  options: serveOptions,
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
        ...readServeOptions(values),
        dataDir,
        log: (line) => context.stderr.write(`${line}\n`),
      });
      const server = await Promise.race([starting, firstInterrupt.promise]);
      if (server === undefined) throw new InterruptedError();
      output.object({ address: server.address, metrics_address: server.metricsAddress, data_dir: dataDir });
      output.lines(`Listening on ${server.address}, with data in ${dataDir}`);
      if (server.metricsAddress) output.lines(`Metrics: http://${server.metricsAddress}/metrics`);
      await firstInterrupt.promise;
      output.progress.note("Stopping; once more stops at once");
      await Promise.race([server.close(), secondInterrupt.promise]);
      return 0;
    } finally {
      removeHandler();
    }
  },
});
