/**
 * The attributes of a work queue of a DSA (Linux: Documentation/ABI/stable/sysfs-driver-dma-idxd): the text
 * of each. When which may be written, its driver says (idxd/wq.ts).
 */
import { WQCFG_STRIDE, WqField } from '../devices/dsa/registers.js';
import type { Attribute } from '../file/attributes.js';
import type { IdxdDevice } from '../idxd/device.js';
import type { IdxdWq } from '../idxd/wq.js';
import { refuse } from '../linux/errno.js';
import { bitmap, bitmapText, truth, unsigned, unsigned32, word } from './numbers.js';
import { count, integerOf, shown, written } from './values.js';

const OPERATION_BITS = 256;
/** The bits of WQCFG's state that tell the occupancy. */
const OCCUPANCY = 0xffff;
/** What `mode` is when it says dedicated, and when not. */
const modes = ['shared', 'dedicated'] as const;
const types = ['none', 'kernel', 'user'] as const;

export function wqAttributes(device: IdxdDevice, wq: IdxdWq): [string, Attribute][] {
  const { operationConfig } = device.caps;
  return [
    ...stateAttributes(device, wq),
    ...placeAttributes(device, wq),
    ...useAttributes(wq),
    ...limitAttributes(wq),
    ...(operationConfig ? [['op_config', operations(wq)] as [string, Attribute]] : []),
  ];
}

/** What it is now. */
function stateAttributes(device: IdxdDevice, wq: IdxdWq): [string, Attribute][] {
  return [
    ['clients', shown(() => wq.clients)],
    ['state', shown(() => (wq.enabled ? 'enabled' : 'disabled'))],
    ['cdev_minor', shown(() => wq.minor ?? refuse('ENXIO', `${wq.path} has no file now`))],
    ['occupancy', shown(() => occupancy(device, wq))],
  ];
}

/** Its place in the device. */
function placeAttributes(device: IdxdDevice, wq: IdxdWq): [string, Attribute][] {
  const group = integerOf(
    () => wq.group,
    (value) => wq.setGroup(value),
  );
  const size = count(
    () => wq.size,
    (value) => wq.setSize(value, device.claimedSize),
  );
  const priority = count(
    () => wq.priority,
    (value) => wq.setPriority(value),
  );
  return [
    ['group_id', group],
    ['size', size],
    ['priority', priority],
    ['mode', mode(wq)],
    ['threshold', threshold(wq)],
  ];
}

/** Whose it is. */
function useAttributes(wq: IdxdWq): [string, Attribute][] {
  const type = written(
    () => wq.type,
    (text) => wq.setType(word(text, types)),
  );
  const name = written(
    () => wq.name,
    (text) => wq.setName(text),
  );
  const driver = written(
    () => wq.driverName,
    (text) => wq.setDriverName(text),
  );
  return [
    ['type', type],
    ['name', name],
    ['driver_name', driver],
  ];
}

/** What its descriptors may do. */
function limitAttributes(wq: IdxdWq): [string, Attribute][] {
  const block = written(
    () => Number(wq.blockOnFault),
    (text) => wq.setBlockOnFault(truth(text)),
  );
  const transfer = written(
    () => wq.maxTransfer,
    (text) => wq.setMaxTransfer(unsigned(text, 0)),
  );
  const batch = written(
    () => wq.maxBatch,
    (text) => wq.setMaxBatch(unsigned(text, 0)),
  );
  return [
    ['block_on_fault', block],
    ['max_transfer_size', transfer],
    ['max_batch_size', batch],
    ['enqcmds_retries', retries(wq)],
  ];
}

/** Descriptors that are in it now. */
function occupancy({ caps, hardware, life }: IdxdDevice, wq: IdxdWq): number {
  if (!caps.occupancy) refuse('EOPNOTSUPP', `${life.name} does not tell the occupancy of work queues`);
  return hardware.get(hardware.wqTable + wq.id * WQCFG_STRIDE + WqField.STATE) & OCCUPANCY;
}

function mode(wq: IdxdWq): Attribute {
  return written(
    () => modes[Number(wq.dedicated)]!,
    (text) => {
      const name = word(text, modes);
      wq.setDedicated(name && name === 'dedicated');
    },
  );
}

function threshold(wq: IdxdWq): Attribute {
  return written(
    () => wq.threshold,
    (text) => {
      const value = unsigned32(text, 0);
      wq.setThreshold(typeof value === 'number' ? value : undefined);
    },
  );
}

/** Linux tells what is out of range from what is no number here. */
function retries(wq: IdxdWq): Attribute {
  return written(
    () => wq.retries,
    (text) => {
      const value = unsigned32(text);
      if (value === 'ERANGE' && !wq.dedicated) refuse('ERANGE', `"${text}" does not fit into 32 bits`);
      wq.setRetries(typeof value === 'number' ? value : undefined);
    },
  );
}

/** As above. */
function operations(wq: IdxdWq): Attribute {
  return {
    kind: 'attribute',
    show: () => `${bitmapText(wq.operations, OPERATION_BITS)}\n`,
    store: (text) => {
      const value = bitmap(text, OPERATION_BITS);
      if (value === 'EOVERFLOW' && !wq.enabled)
        refuse('EOVERFLOW', `"${text}" are more than ${OPERATION_BITS} bits`);
      wq.setOperations(typeof value === 'bigint' ? value : undefined);
    },
  };
}
