/**
 * The attributes of a DSA, its engines and its groups (Linux: Documentation/ABI/stable/sysfs-driver-dma-
 * idxd). Those that only later versions of the device have are not there, as in Linux.
 */
import type { Attribute } from '../file/attributes.js';
import { DSA_MAJOR } from '../file/device-numbers.js';
import type { IdxdDevice } from '../idxd/device.js';
import type { IdxdEngine } from '../idxd/engine.js';
import type { IdxdGroup } from '../idxd/group.js';
import { bitmapText, hexText } from './numbers.js';
import { operationsText } from './operations.js';
import { count, integerOf, numaNode, shown } from './values.js';

const WORD_BITS = 64n;
const ERROR_BITS = 256;

export function deviceAttributes(device: IdxdDevice): [string, Attribute][] {
  const { caps } = device;
  const limit = count(
    () => device.readBufferLimit,
    (value) => device.setReadBufferLimit(value),
  );
  return [
    ['version', shown(() => hexText(caps.version))],
    ['max_groups', shown(() => caps.groups)],
    ['max_work_queues', shown(() => caps.wqs)],
    ['max_work_queues_size', shown(() => caps.wqSize)],
    ['max_engines', shown(() => caps.engines)],
    ['numa_node', numaNode],
    ['max_batch_size', shown(() => caps.maxBatch)],
    ['max_transfer_size', shown(() => caps.maxTransfer)],
    ['op_cap', { kind: 'attribute', show: () => operationsText(device, caps.opcap) }],
    ['gen_cap', shown(() => hexText(caps.gencap))],
    ['configurable', shown(() => Number(caps.configurable))],
    ['clients', shown(() => device.wqs.reduce((sum, { clients }) => sum + clients, 0))],
    // Each program that opens a work queue has a PASID of its own.
    ['pasid_enabled', shown(() => 1)],
    ['state', shown(() => (device.enabled ? 'enabled' : 'disabled'))],
    ['errors', shown(() => bitmapText(errorBits(device), ERROR_BITS))],
    ['max_tokens', shown(() => caps.readBuffers)],
    ['max_read_buffers', shown(() => caps.readBuffers)],
    ['token_limit', limit],
    ['read_buffer_limit', { ...limit }],
    ['cdev_major', shown(() => DSA_MAJOR)],
    [
      'cmd_status',
      { ...shown(() => hexText(device.commandStatus)), store: () => device.clearCommandStatus() },
    ],
  ];
}

function errorBits({ errors }: IdxdDevice): bigint {
  return errors.words.reduceRight((bits, word) => (bits << WORD_BITS) | word, 0n);
}

export function engineAttributes(engine: IdxdEngine): [string, Attribute][] {
  return [
    [
      'group_id',
      integerOf(
        () => engine.group,
        (value) => engine.setGroup(value),
      ),
    ],
  ];
}

export function groupAttributes(device: IdxdDevice, group: IdxdGroup): [string, Attribute][] {
  const { wqs, engines, caps } = device;
  const isMember = (each: { readonly group: number }) => each.group === group.id;
  const limited = count(
    () => Number(group.useReadBufferLimit),
    (value) => group.setUseReadBufferLimit(value),
  );
  const allowed = count(
    () => group.readBuffersAllowed,
    (value) => group.setReadBuffersAllowed(value, engines.filter(isMember).length),
  );
  const reserved = count(
    () => group.readBuffersReserved,
    (value) => group.setReadBuffersReserved(value),
  );
  const trafficClass = (which: 0 | 1) =>
    integerOf(
      () => group.trafficClass(which),
      (value) => group.setTrafficClass(which, value),
    );
  const progressLimit = (which: 0 | 1) =>
    integerOf(
      () => group.progressLimit(which),
      (value) => group.setProgressLimit(which, value),
    );
  return [
    ['work_queues', list(() => wqs.filter(isMember).map(({ path }) => path))],
    ['engines', list(() => engines.filter(isMember).map(({ name }) => name))],
    // Each has the name that it had before, too.
    ['use_token_limit', limited],
    ['use_read_buffer_limit', { ...limited }],
    ['tokens_allowed', allowed],
    ['read_buffers_allowed', { ...allowed }],
    ['tokens_reserved', reserved],
    ['read_buffers_reserved', { ...reserved }],
    ['traffic_class_a', trafficClass(0)],
    ['traffic_class_b', trafficClass(1)],
    ...(caps.progressLimit ? progressLimits(progressLimit) : []),
  ];
}

function progressLimits(limit: (which: 0 | 1) => Attribute): [string, Attribute][] {
  return [
    ['desc_progress_limit', limit(0)],
    ['batch_progress_limit', limit(1)],
  ];
}

/** Names on one line; none: nothing at all. */
function list(names: () => readonly string[]): Attribute {
  return {
    kind: 'attribute',
    show: () => {
      const line = names().join(' ');
      return line === '' ? '' : `${line}\n`;
    },
  };
}
