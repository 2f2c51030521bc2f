/**
 * What must be true of a virtio device model before anything is made of it. As with PCI devices
 * (devices/check-model.ts), models are written by people, where no compiler may have looked.
 */
import { refuse } from '../../linux/errno.js';
import {
  checkCount,
  checkFlag,
  checkKeys,
  checkMethods,
  checkWork,
  describe,
  isRecord,
  type NamesOf,
} from '../checks.js';
import type { VirtioDescription, VirtioModel } from './virtio-model.js';

const descriptionKeys: NamesOf<VirtioDescription> = {
  deviceId: 0,
  features: 0,
  queues: 0,
  queueSize: 0,
  inOrder: 0,
  groups: 0,
};

/** Queues of a device, and bytes of its configuration space: what vhost has room for. */
const MOST_QUEUES = 1024;
const MOST_CONFIG = 4096;
const MOST_DESCRIPTORS = 32768;
const OTHERS = ['writeConfig', 'group', 'start', 'step', 'busy', 'drain'];

/** Returns `model`, checked. @throws Refusal EINVAL naming the first thing that is wrong with it. */
export function checkVirtioModel(model: unknown): VirtioModel {
  if (!isRecord(model))
    refuse('EINVAL', `the device factory returned ${describe(model)}, not a virtio model`);
  if (model.pci !== undefined && model.virtio === undefined)
    refuse('EINVAL', "the factory returned a PCI model, but its module exports transport = 'virtio'");
  checkMethods('the virtio model', model, ['serve', 'reset'], OTHERS);
  checkWork('the virtio model', model);
  if (!isRecord(model.virtio)) refuse('EINVAL', 'the virtio model has no description "virtio"');
  checkDescription(model.virtio as unknown as VirtioDescription);
  if (!(model.config instanceof Uint8Array) || model.config.length > MOST_CONFIG)
    refuse('EINVAL', `config of the virtio model is no Uint8Array of at most ${MOST_CONFIG} bytes`);
  return model as unknown as VirtioModel;
}

function checkDescription(virtio: VirtioDescription): void {
  const { deviceId, features, queues, queueSize = 256, groups = 1 } = virtio;
  checkKeys('virtio', virtio, descriptionKeys);
  checkFlag('virtio.inOrder', virtio.inOrder);
  checkCount('virtio.deviceId', deviceId, 1, 0xffff);
  checkCount('virtio.queues', queues, 1, MOST_QUEUES);
  checkCount('virtio.queueSize', queueSize, 1, MOST_DESCRIPTORS);
  checkCount('virtio.groups', groups, 1, queues);
  if ((queueSize & (queueSize - 1)) !== 0)
    refuse('EINVAL', `virtio.queueSize is ${queueSize}, which is no power of two`);
  if (typeof features !== 'bigint' || features < 0n)
    refuse('EINVAL', `virtio.features is ${String(features)}, not a bigint of feature bits`);
}
