/**
 * `--device dsa`: Intel's Data Streaming Accelerator, 8086:0b25, as a software model. See docs/dsa.md for
 * what is in it.
 *
 * A whole function is configured by its program, as on real hardware (or comes `ready=1`). A mediated device
 * is one work queue that is configured already: shared ones take descriptors at once, dedicated ones when
 * they have been given a PASID and enabled.
 */
import type { DeviceFactory, DeviceHost, MdevSupport } from '../device-model.js';
import { SUPPORTED_OPERATIONS } from './descriptor-rules.js';
import { Dsa } from './dsa.js';
import { type DsaOptions, dsaOptions, options } from './options.js';
import type { Shape } from './registers.js';

export { options };

export const summary = 'Intel Data Streaming Accelerator 1.0, 8086:0b25';

const createDsa: DeviceFactory = (host, given) => {
  const parsed = dsaOptions(given);
  const shared = parsed.mode === 'shared';
  const splitPortals = parsed.portal === 'split';
  const preset = {
    configured: parsed.ready,
    enabled: parsed.ready,
    shared,
    awaitsPasid: false,
    splitPortals,
  };
  return new Dsa(host, functionShape(parsed), preset, mdevSupport(parsed));
};

export default createDsa;

function functionShape(options: DsaOptions): Shape {
  return {
    wqs: options.wqs,
    engines: options.engines,
    groups: options.groups,
    totalSize: options.size,
    // One for errors and commands, one for each work queue, and never fewer than the nine of real hardware.
    vectors: Math.max(9, options.wqs + 1),
    ...limits(options),
    configurable: true,
    sharedMode: true,
    dedicatedMode: true,
    operations: SUPPORTED_OPERATIONS,
  };
}

function limits(options: DsaOptions): Pick<Shape, 'maxTransferShift' | 'maxBatchShift'> {
  return {
    maxTransferShift: Math.log2(options['max-transfer']),
    maxBatchShift: Math.log2(options['max-batch']),
  };
}

/** Each mediated device has the share of one work queue. */
function mdevSupport(options: DsaOptions): MdevSupport {
  const shared = options.mode === 'shared';
  const shape: Shape = {
    wqs: 1,
    engines: 1,
    groups: 1,
    totalSize: Math.floor(options.size / options.wqs),
    vectors: 9,
    ...limits(options),
    configurable: false,
    sharedMode: shared,
    dedicatedMode: !shared,
    operations: SUPPORTED_OPERATIONS,
  };
  const splitPortals = options.portal === 'split';
  const preset = { configured: true, enabled: true, shared, awaitsPasid: !shared, splitPortals };
  return { max: options.wqs, create: (_index: number, host: DeviceHost) => new Dsa(host, shape, preset) };
}
