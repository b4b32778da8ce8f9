/** The kernels' texts: WGSL modules with `override` constants, and generators for what has to be unrolled. */
import addGradient from "./add_gradient.wgsl" with { type: "text" };
import addNoise from "./add_noise.wgsl" with { type: "text" };
import batchNormBackwardFinalize from "./batch_norm_backward_finalize.wgsl" with { type: "text" };
import batchNormBackwardReduce from "./batch_norm_backward_reduce.wgsl" with { type: "text" };
import batchNormFinalize from "./batch_norm_finalize.wgsl" with { type: "text" };
import batchNormFold from "./batch_norm_fold.wgsl" with { type: "text" };
import batchNormStatistics from "./batch_norm_statistics.wgsl" with { type: "text" };
import coefficientGradient from "./coefficient_gradient.wgsl" with { type: "text" };
import clipGradients from "./clip_gradients.wgsl" with { type: "text" };
import conv2dDirect from "./conv2d/direct.wgsl" with { type: "text" };
import conv2dDirectBackwardInput from "./conv2d/direct_backward_input.wgsl" with { type: "text" };
import conv2dDirectBackwardWeight from "./conv2d/direct_backward_weight.wgsl" with { type: "text" };
import packLanes from "./conv2d/pack_lanes.wgsl" with { type: "text" };
import packTiles from "./conv2d/pack_tiles.wgsl" with { type: "text" };
import packWeights from "./conv2d/pack_weights.wgsl" with { type: "text" };
import sumSlices from "./conv2d/sum_slices.wgsl" with { type: "text" };
import weightGradientReduce from "./conv2d/weight_gradient_reduce.wgsl" with { type: "text" };
import weightGradientTilesReduce from "./conv2d/weight_gradient_tiles_reduce.wgsl" with { type: "text" };
import decodeImages from "./decode_images.wgsl" with { type: "text" };
import findNonFinite from "./find_non_finite.wgsl" with { type: "text" };
import gatherImages from "./gather_images.wgsl" with { type: "text" };
import globalAveragePool from "./global_average_pool.wgsl" with { type: "text" };
import linear from "./linear.wgsl" with { type: "text" };
import linearBackwardInput from "./linear_backward_input.wgsl" with { type: "text" };
import linearBackwardWeight from "./linear_backward_weight.wgsl" with { type: "text" };
import lossScale from "./loss_scale.wgsl" with { type: "text" };
import maxPool2d from "./max_pool2d.wgsl" with { type: "text" };
import maxPool2dBackward from "./max_pool2d_backward.wgsl" with { type: "text" };
import movingAverage from "./moving_average.wgsl" with { type: "text" };
import placeChannels from "./place_channels.wgsl" with { type: "text" };
import sgd from "./sgd.wgsl" with { type: "text" };
import softmax from "./softmax.wgsl" with { type: "text" };
import softmaxCrossEntropy from "./softmax_cross_entropy.wgsl" with { type: "text" };
import squareSums from "./square_sums.wgsl" with { type: "text" };
import sumChannelPartials from "./sum_channel_partials.wgsl" with { type: "text" };
import sumPartials from "./sum_partials.wgsl" with { type: "text" };

export const wgsl = {
  addGradient,
  addNoise,
  batchNormBackwardFinalize,
  batchNormBackwardReduce,
  batchNormFinalize,
  batchNormFold,
  batchNormStatistics,
  clipGradients,
  coefficientGradient,
  conv2dDirect,
  conv2dDirectBackwardInput,
  conv2dDirectBackwardWeight,
  decodeImages,
  findNonFinite,
  gatherImages,
  globalAveragePool,
  linear,
  linearBackwardInput,
  linearBackwardWeight,
  lossScale,
  maxPool2d,
  maxPool2dBackward,
  movingAverage,
  packLanes,
  packTiles,
  packWeights,
  placeChannels,
  sgd,
  softmax,
  softmaxCrossEntropy,
  squareSums,
  sumChannelPartials,
  sumPartials,
  sumSlices,
  weightGradientReduce,
  weightGradientTilesReduce,
} as const;

export { clearImageSource, type Elementwise, type ElementwiseSource, elementwiseSource } from "./elementwise.ts";
export { type ElementType, quadBytes, withElements } from "./element_type.ts";
export { channelQuads, dividingWorkgroup, type ImageLayout, usedComponents } from "./layout.ts";
export { type ColumnConvolution, columnSource } from "./conv2d/columns.ts";
export type { Epilogue } from "./conv2d/epilogue.ts";
export type { LanePrologue } from "./conv2d/lane_prologue.ts";
export { type LaneConvolution, lanePartQuads, laneSource, type LaneTile, laneWindow } from "./conv2d/lanes.ts";
export {
  type QuadGroupConvolution,
  quadGroupSource,
  type QuadGroupWeightGradient,
  quadGroupWeightGradientSource,
} from "./conv2d/quad_groups.ts";
export { stripBlockQuads, type StripConvolution, stripSource } from "./conv2d/strip.ts";
export type { TapsConvolution } from "./conv2d/taps.ts";
export { MAX_TILE_BYTES, MAX_TILE_INVOCATIONS } from "./conv2d/tile_memory.ts";
export { type Tile, tileBytes, type TileConvolution, tileExtents, tileThreads } from "./conv2d/tile_convolution.ts";
export { tileSlicesSource } from "./conv2d/tile_slices.ts";
export { tileSource } from "./conv2d/tiles.ts";
export {
  columnSlices,
  type ColumnWeightGradient,
  columnWeightGradientSource,
} from "./conv2d/weight_gradient_columns.ts";
export { type LaneWeightGradient, laneWeightGradientSource } from "./conv2d/weight_gradient_lanes.ts";
export {
  tileCounts,
  tileQuads,
  type WeightGradient,
  weightGradientSource,
  type WeightTile,
} from "./conv2d/weight_gradient.ts";
export {
  type GradientTile,
  gradientTileBytes,
  gradientTileThreads,
  tiledGradientCounts,
  type TiledWeightGradient,
  tiledWeightGradientSource,
} from "./conv2d/weight_gradient_tiles.ts";
