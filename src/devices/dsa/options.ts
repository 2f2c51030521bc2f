/** The options of `--device dsa`: what they are, and what is wrong with those that are given. */
import type { DeviceOptions } from '../device-model.js';
import { choice, flag, integer, type OptionValues, parseOptions, powerOfTwo } from '../options.js';

const MOST_DESCRIPTORS = 4096;

export const options = {
  wqs: integer('work queues', 8, 1, 64),
  engines: integer('engines', 4, 1, 16),
  groups: integer('groups of work queues and engines', 4, 1, 16),
  size: integer('descriptors of all work queues together (WQCAP)', 128, 1, MOST_DESCRIPTORS),
  mode: choice('mode of work queues that come configured (ready, or of an mdev)', 'shared', [
    'shared',
    'dedicated',
  ]),
  'max-transfer': powerOfTwo('bytes of the largest transfer (GENCAP)', 2 ** 31, 4096, 2 ** 31),
  'max-batch': powerOfTwo('descriptors of the largest batch (GENCAP)', 1024, 2, 1024),
  portal: choice(
    'how a descriptor is written: 64 bytes at once, or in eight parts (not on hardware)',
    'whole',
    ['whole', 'split'],
  ),
  ready: flag('the device comes up with its work queues configured and enabled'),
};

/** A whole function's options, with their defaults filled in. */
export type DsaOptions = OptionValues<typeof options>;

/** @throws Error naming the option that is unknown or out of range. */
export function dsaOptions(given: DeviceOptions): DsaOptions {
  const parsed = parseOptions('dsa', options, given);
  const { wqs, size } = parsed;
  if (size < wqs) throw new Error(`size "${size}" is not a number from ${wqs} to ${MOST_DESCRIPTORS}`);
  return parsed;
}
