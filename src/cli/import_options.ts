/** Options of what is imported as a data set, from wherever. */
import { flag, optional, type OptionValues } from "./options.ts";
import { imageSize, listOf, text } from "./values.ts";

export const importFormatOptions = {
  streamed: flag("Keep image files as they are, and decode and crop them as they are used"),
  image: optional(
    imageSize(),
    "What image files are scaled to (default: 32x32x3), or with --streamed cropped to (default: 224x224x3)",
  ),
  classes: optional(
    listOf(text("NAME")),
    "Which folders are classes, in this order; or the names of classes that the source only numbers",
  ),
};

/** The options as a request has them. */
export function readImportFormat({ streamed, image, classes }: OptionValues<typeof importFormatOptions>) {
  return { streamed, image, classNames: classes };
}
