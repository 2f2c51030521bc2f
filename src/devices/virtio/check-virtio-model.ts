/**
 * What must be true of a virtio device model before anything is made of it. As with PCI devices
 * (devices/check-model.ts), models are written by people, where no compiler may have looked.
 */
import { refuse } from '../../linux/errno.js';
import type { VirtioDescription, VirtioModel } from './virtio-model.js';

/** Queues of a device, and bytes of its configuration space: what vhost has room for. */
const MOST_QUEUES = 1024;
const MOST_CONFIG = 4096;
const MOST_DESCRIPTORS = 32768;

/** Returns `model`, checked. @throws Refusal EINVAL naming the first thing that is wrong with it. */
export function checkVirtioModel(model: unknown): VirtioModel {
  if (!isRecord(model)) refuse('EINVAL', `the device factory returned ${typeof model}, not a virtio model`);
  for (const method of ['serve', 'reset'])
    if (typeof model[method] !== 'function') refuse('EINVAL', `the virtio model has no method ${method}`);
  for (const method of ['writeConfig', 'group', 'start', 'step', 'busy', 'drain'])
    if (model[method] !== undefined && typeof model[method] !== 'function')
      refuse('EINVAL', `${method} of the virtio model is not a method`);
  if (!isRecord(model.virtio)) refuse('EINVAL', 'the virtio model has no description "virtio"');
  checkDescription(model.virtio as unknown as VirtioDescription);
  if (!(model.config instanceof Uint8Array) || model.config.length > MOST_CONFIG)
    refuse('EINVAL', `config of the virtio model is no Uint8Array of at most ${MOST_CONFIG} bytes`);
  return model as unknown as VirtioModel;
}

function checkDescription(virtio: VirtioDescription): void {
  const { deviceId, features, queues, queueSize = 256, groups = 1 } = virtio;
  checkInteger('deviceId', deviceId, 1, 0xffff);
  checkInteger('queues', queues, 1, MOST_QUEUES);
  checkInteger('queueSize', queueSize, 1, MOST_DESCRIPTORS);
  checkInteger('groups', groups, 1, queues);
  if ((queueSize & (queueSize - 1)) !== 0)
    refuse('EINVAL', `virtio.queueSize is ${queueSize}, which is no power of two`);
  if (typeof features !== 'bigint' || features < 0n)
    refuse('EINVAL', `virtio.features is ${String(features)}, not a bigint of feature bits`);
}

function checkInteger(name: string, value: unknown, least: number, most: number): void {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    refuse('EINVAL', `virtio.${name} is ${String(value)}, not an integer from ${least} to ${most}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
