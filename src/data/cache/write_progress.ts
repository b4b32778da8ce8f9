/** How far a data set is written: what the writers count, and what another process needs to go on with one. */
import { ChannelStatistics } from "../channel_statistics.ts";
import type { ImageSource, ReadPosition, ReadStart, Split } from "../dataset.ts";

/** All that a writer remembers of an import that was interrupted, besides the files themselves. */
export interface WriteState {
  /** Being written; that it is "test" says that "train" is whole. */
  readonly split: Split;
  readonly position: ReadPosition;
  readonly images: Readonly<Record<Split, number>>;
  readonly classCounts: Readonly<Record<Split, readonly number[]>>;
  /** Of the training images' bytes, a channel: see `ChannelStatistics`. */
  readonly histograms: readonly (readonly number[])[];
  /** Bytes of each file that belong to whole images. */
  readonly lengths: Readonly<Record<string, number>>;
}

/** Images that were written whole. */
export interface WrittenImages {
  readonly labels: Iterable<number>;
  /** Of training images; undefined: their statistics are not wanted. */
  readonly pixels?: Uint8Array;
  /** Undefined: the source cannot go on. */
  readonly position?: ReadPosition;
  /** Bytes of the files being written. */
  readonly lengths: Readonly<Record<string, number>>;
}

export class WriteProgress {
  readonly images: Record<Split, number> = { train: 0, test: 0 };
  readonly classCounts: Record<Split, number[]>;
  readonly statistics: ChannelStatistics;
  #split: Split = "train";
  #position: ReadPosition | undefined;
  #lengths: Record<string, number> = {};

  /** @param state of an earlier writer of the same source */
  constructor({ size, classNames }: ImageSource, state?: WriteState) {
    const counts = (split: Split) => state ? [...state.classCounts[split]] : classNames.map(() => 0);
    this.classCounts = { train: counts("train"), test: counts("test") };
    this.statistics = new ChannelStatistics(size.channels, state?.histograms);
    if (!state) return;
    this.images = { ...state.images };
    this.#split = state.split;
    this.#position = state.position;
    this.#lengths = { ...state.lengths };
  }

  /** Bytes of a file that were written before and are to be kept. */
  lengthOf(file: string): number {
    return this.#lengths[file] ?? 0;
  }

  /** Whether all of a split was written before. */
  isWhole(split: Split): boolean {
    return split === "train" && this.#split === "test";
  }

  /** Where the source is to go on; undefined: at its beginning. */
  startOf(split: Split): ReadStart | undefined {
    if (split !== this.#split || !this.#position) return undefined;
    return { ...this.#position, taken: this.classCounts[split] };
  }

  /** Counts images; never half of them, for nothing is awaited here. */
  add(split: Split, { labels, pixels, position, lengths }: WrittenImages): void {
    for (const label of labels) {
      this.classCounts[split][label]++;
      this.images[split]++;
    }
    if (pixels) this.statistics.add(pixels);
    this.#split = split;
    this.#position = position;
    this.#lengths = { ...this.#lengths, ...lengths };
  }

  /** Undefined while there is nothing from which another could go on. */
  state(): WriteState | undefined {
    if (!this.#position) return undefined;
    return {
      split: this.#split,
      position: this.#position,
      images: this.images,
      classCounts: this.classCounts,
      histograms: this.statistics.histograms,
      lengths: this.#lengths,
    };
  }
}
