/**
 * A scene of one vhost-vdpa file: a program that has opened it, with shared memory and eventfds by name.
 * Steps add lines to it.
 *
 * The queues' rings lie one after the other at the begin of the memory, buffers behind them; IOVAs are BASE
 * and the offset there. What the device keeps from the program before (its address) is written first.
 */
import { formatPatch, type Line, number, plain, type Value } from '../language.js';
import { type CallOptions, call, type LayoutName } from '../layouts.js';
import type { OracleDevice } from './machine.js';

export const MEMORY_BYTES = 0x20000;
export const BASE = 0x100000n;
export const RING_SIZE = 16;
export const RING_BYTES = 0x1000;
const AVAILABLE = 0x400;
const USED = 0x800;
export const BUFFERS = 0x4000;
export const RUNNING = 0x0f;
/** All that the simulators know of. */
export const BACKEND = 0x17en;

export const Iotlb = { MISS: 1, UPDATE: 2, INVALIDATE: 3, ACCESS_FAIL: 4, BEGIN: 5, END: 6 } as const;

/** A message as it is written, all of it. */
export interface Message {
  readonly version: number;
  readonly asid: number;
  readonly type: number;
  readonly iova: bigint;
  readonly size: bigint;
  readonly uaddr: Value;
  readonly perm: number;
}

const MESSAGE_BYTES = 72;

export class VdpaScene {
  readonly lines: Line[] = [];
  readonly device: OracleDevice;
  /** Buffers that were made available in each queue since it was set up. */
  readonly pushed: number[];
  /** Will a buffer be used, as far as can be said without the answers? */
  alive = false;
  /** Has it an owner? */
  owned = false;
  /** Was it started since the last reset? */
  started = false;
  /** Was it suspended since, and not resumed? */
  suspended = false;
  /** The queues that are enabled. */
  readonly enabled: boolean[];

  constructor(device: OracleDevice) {
    this.device = device;
    this.pushed = Array.from({ length: device.queues }, () => 0);
    this.enabled = this.pushed.map(() => false);
  }

  add(...lines: readonly Line[]): void {
    this.lines.push(...lines);
  }

  call(
    name: LayoutName,
    fields: Readonly<Record<string, Value | number | bigint>> = {},
    options: CallOptions = {},
  ): void {
    this.lines.push(call(name, fields, { fd: 'd', ...options }));
  }

  /** Writes a message, or the first `length` bytes of one and of zeros behind it. */
  message({ version, asid, type, iova, size, uaddr, perm }: Message, length = MESSAGE_BYTES): void {
    const bytes = Buffer.alloc(Math.max(length, MESSAGE_BYTES));
    bytes.writeUInt32LE(version, 0);
    bytes.writeUInt32LE(asid, 4);
    bytes.writeBigUInt64LE(iova, 8);
    bytes.writeBigUInt64LE(size, 16);
    bytes.writeUInt8(perm, 32);
    bytes.writeUInt8(type, 33);
    const hex = bytes.toString('hex', 0, length);
    const patches = length < 32 ? [] : [formatPatch({ offset: 24, size: 8, value: uaddr })];
    this.add(plain('write', 'd', hex === '' ? '-' : hex, ...patches));
  }

  /** Offsets of the parts of a queue's ring. */
  ring(queue: number): { descriptors: number; available: number; used: number } {
    const descriptors = queue * RING_BYTES;
    return { descriptors, available: descriptors + AVAILABLE, used: descriptors + USED };
  }
}

export type VdpaStep = (scene: VdpaScene) => void;

export const memory = (offset: number): Value => ({ kind: 'address', name: 'b', plus: BigInt(offset) });

/** The lines that every sequence begins with. */
export function openFiles(scene: VdpaScene): void {
  scene.add(
    plain('open', 'd', scene.device.path),
    plain('memfd', 'm', MEMORY_BYTES),
    plain('mmap', 'b', 'm', 0, MEMORY_BYTES, 'rw'),
    plain('eventfd', 'cfg'),
  );
  for (let queue = 0; queue < scene.device.queues; queue++)
    for (const kind of ['k', 'c', 'e']) scene.add(plain('eventfd', `${kind}${queue}`));
  if (scene.device.name === 'net') setConfig(scene, 0, Buffer.from('021122334455', 'hex'));
}

export function setConfig(scene: VdpaScene, off: number, bytes: Uint8Array, len = bytes.length): void {
  const line = call('VHOST_VDPA_SET_CONFIG', { off, len }, { fd: 'd' });
  line.bytes.set(bytes, 8);
  scene.add(line);
}

export function mapAll(scene: VdpaScene, asid = 0): void {
  const range = { iova: BASE, size: BigInt(MEMORY_BYTES), uaddr: memory(0) };
  scene.message({ version: 2, asid, type: Iotlb.UPDATE, ...range, perm: 3 });
}

export function unmapAll(scene: VdpaScene): void {
  const range = { iova: BASE, size: BigInt(MEMORY_BYTES), uaddr: memory(0) };
  scene.message({ version: 2, asid: 0, type: Iotlb.INVALIDATE, ...range, perm: 0 });
}

export function own(scene: VdpaScene): void {
  scene.owned = true;
  scene.call('VHOST_SET_OWNER');
}

export function setStatus(scene: VdpaScene, status: number): void {
  if (status === 0) {
    scene.alive = scene.started = scene.suspended = false;
    scene.enabled.fill(false);
  }
  scene.call('VHOST_VDPA_SET_STATUS', { status });
}

export function setAddresses(scene: VdpaScene, queue: number): void {
  const { descriptors, available, used } = scene.ring(queue);
  scene.call('VHOST_SET_VRING_ADDR', {
    index: queue,
    desc_user_addr: BASE + BigInt(descriptors),
    avail_user_addr: BASE + BigInt(available),
    used_user_addr: BASE + BigInt(used),
  });
}

export function enableQueue(scene: VdpaScene, index: number, num: number): void {
  if (index < scene.enabled.length) scene.enabled[index] = num !== 0;
  scene.call('VHOST_VDPA_SET_VRING_ENABLE', { index, num });
}

/** A queue with an empty ring. */
export function setUpQueue(scene: VdpaScene, queue: number): void {
  // One that is enabled would keep the addresses that it has, in Linux.
  if (scene.enabled[queue]) enableQueue(scene, queue, 0);
  const { available, used } = scene.ring(queue);
  scene.add(plain('fill', 'b', available, '00000000'), plain('fill', 'b', used, '00000000'));
  scene.call('VHOST_SET_VRING_NUM', { index: queue, num: RING_SIZE });
  scene.call('VHOST_SET_VRING_BASE', { index: queue, num: 0 });
  setAddresses(scene, queue);
  setEventfd(scene, 'VHOST_SET_VRING_CALL', queue, `c${queue}`);
  setEventfd(scene, 'VHOST_SET_VRING_KICK', queue, `k${queue}`);
  enableQueue(scene, queue, 1);
  scene.pushed[queue] = 0;
}

/** The eventfd `name` for a queue; without a name: none any more. */
export function setEventfd(scene: VdpaScene, call: LayoutName, index: number, name?: string): void {
  const fd: Value = name === undefined ? number(0xffffffffn) : { kind: 'descriptor', name };
  scene.call(call, { index, fd });
}

/** All that a driver does (virtio 1.3 §3.1.1), from the owner on. */
export function startDevice(scene: VdpaScene): void {
  scene.call('VHOST_SET_BACKEND_FEATURES', { features: BACKEND });
  setStatus(scene, 1);
  setStatus(scene, 3);
  scene.call('VHOST_SET_FEATURES', { features: scene.device.features });
  setStatus(scene, 0x0b);
  mapAll(scene);
  for (let queue = 0; queue < scene.device.queues; queue++) setUpQueue(scene, queue);
  setStatus(scene, RUNNING);
  scene.alive = scene.owned;
  scene.started = true;
}
