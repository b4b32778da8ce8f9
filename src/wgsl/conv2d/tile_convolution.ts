import type { ElementType } from "../element_type.ts";
import { channelQuads, type ImageLayout } from "../layout.ts";
import type { TapsConvolution } from "./taps.ts";

/** What a workgroup computes, and how it is divided among its invocations. All are powers of two. */
export interface Tile {
  /** Output pixels, counted through the batch. */
  readonly pixels: number;
  /** Output channels of one group. */
  readonly channels: number;
  /** Products of an output that are in workgroup memory at once, a multiple of 4. */
  readonly depth: number;
  /** Groups of the convolution side by side, for groups too narrow to fill a workgroup. */
  readonly groups: number;
  /** Of one invocation; channels are a multiple of 4. */
  readonly threadPixels: number;
  readonly threadChannels: number;
}

/**
 * A convolution, taps in ascending order, as the matrix product of a matrix of pixels by (tap, input channel), which is
 * never stored, and the packed weights.
 */
export interface TileConvolution extends TapsConvolution {
  readonly batch: number;
  readonly groups: number;
  readonly weightType: ElementType;
  readonly tile: Tile;
  /** Steps of `tile.depth` products that a workgroup sums; with fewer than all, slices of the sums are added later. */
  readonly sliceSteps: number;
}

/** A kernel and its grid. */
export interface TileSource {
  readonly code: string;
  readonly workgroups: readonly [number, number, number];
}

/** How a tile divides into invocations: `columns` along the channels, `rows` along the pixels. */
export function tileThreads({ pixels, channels, groups, threadPixels, threadChannels }: Tile) {
  const groupColumns = channels / threadChannels;
  const columns = groups * groupColumns;
  const rows = pixels / threadPixels;
  return { groupColumns, columns, rows, threads: columns * rows, quads: threadChannels / 4 };
}

/** Bytes of workgroup memory: two tiles of the input and two of the weights, computed from and loaded in turn. */
export function tileBytes({ pixels, channels, depth, groups }: Tile): number {
  return 2 * 4 * depth * groups * (pixels + channels);
}

/**
 * The extents of a convolution in tiles. Packed weights are blocks of [group block, channel block][step][product][quad
 * of a thread][thread column] of vec4 over output channels.
 */
export function tileExtents(
  { input, output, batch, rows, columns, dy, dx, groups, tile }: Omit<TileConvolution, "epilogue" | "sliceSteps">,
) {
  const inputQuads = channelQuads(input) / groups;
  const outputQuads = channelQuads(output) / groups;
  const sumQuads = dy.length * dx.length * inputQuads;
  const steps = Math.ceil(sumQuads * 4 / tile.depth);
  const blocksAGroup = Math.ceil(outputQuads * 4 / tile.channels);
  const stepQuads = tile.depth * tile.groups * tile.channels / 4;
  const pixels = batch * rows * columns;
  const blocks = groups / tile.groups * blocksAGroup;
  return {
    pixels,
    /** Channel quads of a group. */
    inputQuads,
    outputQuads,
    /** Products of an output, in quads. */
    sumQuads,
    steps,
    blocksAGroup,
    blocks,
    /** vec4s of one step's weights, and of one block's. */
    stepQuads,
    blockQuads: steps * stepQuads,
    /** Workgroups of one slice. */
    tiles: Math.ceil(pixels / tile.pixels) * blocks,
    /** vec4s of the sums of one slice: [pixel][channel quad]. */
    partialQuads: pixels * channelQuads(output),
  };
}

/** A grid of pixels over an image: its size, and its first pixel and their distance there. */
export interface PixelGrid {
  readonly rows: number;
  readonly columns: number;
  readonly step: number;
  readonly y: number;
  readonly x: number;
}

/** The vec4 index of a grid's pixel, counted through the batch, in a layout. */
export function pixelAt(layout: ImageLayout, { rows, columns, step, y, x }: PixelGrid, pixel: string): string {
  const { halo, height, width } = layout;
  const c4 = channelQuads(layout);
  const isWhole = halo === 0 && step === 1 && rows === height && columns === width && y === 0 && x === 0;
  if (isWhole) return `${pixel} * ${c4}u`;
  const scaled = (value: string) => step === 1 ? value : `${value} * ${step}u`;
  const image = `${pixel} / ${rows * columns}u * ${height + 2 * halo}u`;
  const row = `${image} + ${scaled(`${pixel} / ${columns}u % ${rows}u`)} + ${halo + y}u`;
  return `((${row}) * ${width + 2 * halo}u + ${scaled(`${pixel} % ${columns}u`)} + ${halo + x}u) * ${c4}u`;
}

/** The output's grid, in every image of the output's size. */
export function outputGrid({ rows, columns, outputStep, outputY, outputX }: TileConvolution): PixelGrid {
  return { rows, columns, step: outputStep, y: outputY, x: outputX };
}
