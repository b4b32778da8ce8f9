/** Kinds of values that options and arguments take: how each is written in help, and how it is read. */
import { UsageError } from "./errors.ts";

export interface ValueKind<V> {
  /** Stands for the value in help: "N", "HOST:PORT", "f32|mixed". */
  readonly placeholder: string;
  /** @throws {UsageError} with a message that begins with "must be" */
  read(text: string): V;
}

export interface ImageSize {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export function text(placeholder: string): ValueKind<string> {
  return {
    placeholder,
    read(value) {
      if (value === "") throw new UsageError("must not be empty");
      return value;
    },
  };
}

const uint32Maximum = 2 ** 32 - 1;

/** A whole number that fits an unsigned 32-bit field. */
export function integer(placeholder: string, { minimum = 0, maximum = uint32Maximum } = {}): ValueKind<number> {
  return {
    placeholder,
    read(value) {
      const parsed = Number(value);
      if (!/^\d+$/.test(value) || parsed < minimum || parsed > Math.min(maximum, uint32Maximum)) {
        const isOpen = maximum === uint32Maximum && !(parsed > maximum);
        const range = isOpen ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
        throw new UsageError(`must be a whole number ${range}, not "${value}"`);
      }
      return parsed;
    },
  };
}

const byteUnits: Readonly<Record<string, number>> = { "": 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/** "268435456", "256MiB", "1.5GiB": a number of bytes. */
export function byteCount(): ValueKind<number> {
  return {
    placeholder: "BYTES",
    read(value) {
      const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)(KiB|MiB|GiB|TiB)?$/.exec(value) ?? [];
      const bytes = Number(digits) * byteUnits[unit];
      if (Number.isSafeInteger(bytes)) return bytes;
      throw new UsageError(`must be a number of bytes, such as 268435456, 256MiB or 1.5GiB, not "${value}"`);
    },
  };
}

/** A whole number that fits an unsigned 64-bit field. */
export function bigInteger(placeholder: string): ValueKind<bigint> {
  return {
    placeholder,
    read(value) {
      if (!/^\d+$/.test(value) || BigInt(value) >= 2n ** 64n) {
        throw new UsageError(`must be a whole number of at least 0, not "${value}"`);
      }
      return BigInt(value);
    },
  };
}

export function decimal(placeholder: string, { minimum = 0, below = Infinity } = {}): ValueKind<number> {
  const range = below === Infinity ? `of at least ${minimum}` : `from ${minimum} to below ${below}`;
  return {
    placeholder,
    read(value) {
      const parsed = Number(value);
      if (value.trim() === "" || !Number.isFinite(parsed) || parsed < minimum || parsed >= below) {
        throw new UsageError(`must be a number ${range}, not "${value}"`);
      }
      return parsed;
    },
  };
}

export function choice<const C extends string>(choices: readonly C[]): ValueKind<C> {
  return {
    placeholder: choices.join("|"),
    read(value) {
      const found = choices.find((candidate) => candidate === value);
      if (found === undefined) throw new UsageError(`must be one of ${choices.join(", ")}, not "${value}"`);
      return found;
    },
  };
}

export function trueOrFalse(): ValueKind<boolean> {
  const words = choice(["true", "false"]);
  return { placeholder: words.placeholder, read: (value) => words.read(value) === "true" };
}

/** Values with commas between them. */
export function listOf<V>(item: ValueKind<V>): ValueKind<V[]> {
  return {
    placeholder: `${item.placeholder},...`,
    read: (value) => value.split(",").map((part) => item.read(part.trim())),
  };
}

/** "32x32x3": height, width and channels; "32x32" has three channels. */
export function imageSize(): ValueKind<ImageSize> {
  return {
    placeholder: "HxWxC",
    read(value) {
      const match = /^([1-9]\d{0,4})x([1-9]\d{0,4})(?:x([13]))?$/.exec(value);
      if (match === null) {
        throw new UsageError(
          `must be HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS with 1 or 3 channels, such as 32x32x3, not "${value}"`,
        );
      }
      return { height: Number(match[1]), width: Number(match[2]), channels: Number(match[3] ?? 3) };
    },
  };
}

/** "127.0.0.1:50051", "localhost:50051", "[::1]:50051". */
export function hostAndPort(): ValueKind<string> {
  return {
    placeholder: "HOST:PORT",
    read(value) {
      const match = /^(\[[0-9a-fA-F:.]+\]|[^:/\s[\]]+):(\d{1,5})$/.exec(value);
      if (match === null || Number(match[2]) > 65535) {
        throw new UsageError(`must be HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051, not "${value}"`);
      }
      return value;
    },
  };
}

/** "127.0.0.1:50051", or "https://..." where the server speaks TLS. */
export function serverAddress(): ValueKind<ServerAddress> {
  return {
    placeholder: "[https://]HOST:PORT",
    read(value) {
      const tls = value.startsWith("https://");
      return { address: hostAndPort().read(tls ? value.slice("https://".length).replace(/\/$/, "") : value), tls };
    },
  };
}

export interface ServerAddress {
  /** "HOST:PORT" */
  readonly address: string;
  readonly tls: boolean;
}
