/** A network that does not exist or cannot be built; the message says what would be right. */
export class ModelError extends Error {
  override readonly name = "ModelError";
}
