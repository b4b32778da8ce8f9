/** JSON of the store, which keeps what JSON has no number for: a diverged run's loss is NaN or infinite. */

interface NonFinite {
  readonly nonFinite: string;
}

export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item) => {
    if (typeof item !== "number" || Number.isFinite(item)) return item;
    return { nonFinite: String(item) } satisfies NonFinite;
  });
}

/** The store's own text: written by `toJson()` of a `T`, so its form is taken on trust. */
export function fromJson<T>(text: string): T {
  return JSON.parse(text, (_key, item) => isNonFinite(item) ? Number(item.nonFinite) : item);
}

function isNonFinite(item: unknown): item is NonFinite {
  return typeof item === "object" && item !== null && "nonFinite" in item;
}
