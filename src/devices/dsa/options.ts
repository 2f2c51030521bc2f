/** The options of `--device dsa`: what they are, and what is wrong with those that are given. */
import type { DeviceOptions } from '../device-model.js';
import { choice, integer, refuseUnknown } from '../option-values.js';

/** A whole function's options, with their defaults filled in. */
export interface DsaOptions {
  readonly wqs: number;
  readonly engines: number;
  readonly groups: number;
  /** Descriptors of all work queues together (WQCAP). */
  readonly size: number;
  /** Mode of the work queues that come configured: those of a ready device, and of mediated devices. */
  readonly mode: 'shared' | 'dedicated';
  /** The device comes up with its work queues configured and enabled. */
  readonly ready: boolean;
}

const known = ['wqs', 'engines', 'groups', 'size', 'mode', 'ready'];

/** @throws Error naming the option that is unknown or out of range. */
export function parseOptions(options: DeviceOptions): DsaOptions {
  refuseUnknown('dsa', options, known);
  const wqs = integer(options, 'wqs', 8, 1, 64);
  return {
    wqs,
    engines: integer(options, 'engines', 4, 1, 16),
    groups: integer(options, 'groups', 4, 1, 16),
    size: integer(options, 'size', Math.max(128, wqs), wqs, 4096),
    mode: choice(options, 'mode', 'shared', ['shared', 'dedicated']),
    ready: choice(options, 'ready', '0', ['0', '1']) === '1',
  };
}
