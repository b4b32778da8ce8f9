import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { assertEquals, assertThrows } from "@std/assert";
import { type AugmentationConfigSchema, TrainingConfigSchema } from "../../../src/gen/mod.ts";
import { toStreaming } from "../../../src/server/convert/streaming.ts";
import { InvalidFieldError } from "../../../src/server/errors.ts";
import { checkStreaming } from "../../../src/server/validation/streaming.ts";

type Fields = MessageInitShape<typeof AugmentationConfigSchema>;

const streamed = { name: "photographs", kind: "streamed", channels: 3 } as const;
const packed = { name: "digits", kind: "packed", channels: 1 } as const;
const defaults = { minScale: 0.08, maxScale: 1, minRatio: 3 / 4, maxRatio: 4 / 3 };

function check(fields: Fields, dataset: typeof streamed | typeof packed = streamed) {
  return checkStreaming(create(TrainingConfigSchema, { augmentation: fields }), dataset);
}

function refuses(fields: Fields, message: string, dataset: typeof streamed | typeof packed = streamed) {
  assertThrows(() => check(fields, dataset), InvalidFieldError, message);
}

Deno.test("checkStreaming() crops training images of streamed data sets at random, unless told otherwise", () => {
  assertEquals(checkStreaming(undefined, streamed), { randomResizedCrop: defaults });
  assertEquals(check({ minScale: 0.35, maxRatio: 1 }), {
    randomResizedCrop: { ...defaults, minScale: 0.35, maxRatio: 1 },
  });
  assertEquals(check({ randomResizedCrop: false }), { randomResizedCrop: "off" });
  assertEquals(check({ image: { height: 64, width: 48, channels: 3 }, randomResizedCrop: false }), {
    image: { height: 64, width: 48, channels: 3 },
    randomResizedCrop: "off",
  });
  const field = "config.augmentation";
  refuses({ minScale: 0 }, `Field "${field}.min_scale" must be above 0 and at most 1, got 0`);
  refuses({ minScale: 0.6, maxScale: 0.5 }, `Field "${field}.min_scale" must be above 0 and at most 0.5, got 0.6`);
  refuses({ maxScale: 1.5 }, `Field "${field}.max_scale" must be above 0 and at most 1, got 1.5`);
  refuses({ minRatio: 2 }, `Field "${field}.min_ratio"`);
  refuses({ maxRatio: NaN }, `Field "${field}.max_ratio"`);
  refuses(
    { randomResizedCrop: false, minScale: 0.5 },
    `Field "${field}.min_scale" must be left out: there is no random_resized_crop, got 0.5`,
  );
  refuses(
    { image: { height: 64, width: 64, channels: 1 } },
    `Field "${field}.image.channels" must be 3, as the data set's`,
  );
  refuses(
    { image: { height: 4096, width: 64, channels: 3 } },
    `Field "${field}.image.height" must be an integer from 1`,
  );
});

Deno.test("checkStreaming() leaves packed data sets alone and refuses what is of no use to them", () => {
  assertEquals(checkStreaming(undefined, packed), {});
  assertEquals(check({ cropPadding: 4, randomResizedCrop: false }, packed), {});
  const reason = "must be left out: digits is packed, streamed data sets alone have it";
  refuses({ randomResizedCrop: true }, `Field "config.augmentation.random_resized_crop" ${reason}`, packed);
  refuses({ minScale: 0.5 }, `Field "config.augmentation.min_scale" ${reason}, got 0.5`, packed);
  refuses({ image: { height: 8, width: 8, channels: 1 } }, `Field "config.augmentation.image" ${reason}`, packed);
});

Deno.test("toStreaming() tells what checkStreaming() takes for the same", () => {
  for (
    const fields of [{}, { randomResizedCrop: false }, { minScale: 0.2, image: { height: 9, width: 8, channels: 3 } }]
  ) {
    const checked = check(fields);
    assertEquals(check(toStreaming(checked)), checked);
  }
  assertEquals(toStreaming({}), {});
});
