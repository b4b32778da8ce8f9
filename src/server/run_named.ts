/** The run that a message is about, wherever its fields name it. */

/** @returns "runs/<id>"; undefined: none is named where messages of this service name them. */
export function runNamed(message: unknown): string | undefined {
  if (!isObject(message)) return undefined;
  const { name, event, run, source } = message;
  const inSource = isObject(source) && isObject(source.source) ? source.source.value : undefined;
  const inRun = isObject(run) ? run.name : run;
  const inEvent = isObject(event) ? event.run : undefined;
  return [name, inRun, inEvent, inSource].find(isRunName);
}

function isRunName(value: unknown): value is string {
  return typeof value === "string" && /^runs\/\w{1,40}$/.test(value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
