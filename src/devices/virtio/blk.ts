/**
 * `--device virtio-blk`: a block device (virtio 1.3 §5.2) whose medium is a file.
 *
 *     virtio-blk,file=disk.img,queues=2,readonly=1,serial=abc
 *
 * Requests of all queues are under way at the same time, at most LIMIT of them; while there are that many,
 * the others stay in their rings. Each ends in the order in which the file is done with it.
 */
import { resolve } from 'node:path';
import type { Drained } from '../device-model.js';
import type { Disk } from '../disk.js';
import type { Job } from '../medium.js';
import { flag, integer, optional, parseOptions, required } from '../options.js';
import { type BlkContext, BlkRequest, MAX_CLEARED_SECTORS, SECTOR } from './blk-request.js';
import type { Chain } from './chain.js';
import { has } from './features.js';
import type { VirtioDescription, VirtioFactory, VirtioModel } from './virtio-model.js';
import type { Virtqueue } from './virtqueue.js';

export const transport = 'virtio';

const Feature = {
  SIZE_MAX: 1n << 1n,
  SEG_MAX: 1n << 2n,
  RO: 1n << 5n,
  BLK_SIZE: 1n << 6n,
  FLUSH: 1n << 9n,
  TOPOLOGY: 1n << 10n,
  MQ: 1n << 12n,
  DISCARD: 1n << 13n,
  WRITE_ZEROES: 1n << 14n,
} as const;
const READING =
  Feature.SIZE_MAX | Feature.SEG_MAX | Feature.BLK_SIZE | Feature.FLUSH | Feature.TOPOLOGY | Feature.MQ;

/** Requests under way. Each may have a buffer of 1 MiB. */
const LIMIT = 64;
/**
 * Bytes of ended jobs that one step deals with, and bytes that are begun in it: about a millisecond of
 * copies, where memory is reached by way of another process (linux/remote-reach.ts).
 */
const STEP_BYTES = 1 << 20;
/** Bytes that are read before the driver is shown them: it is to work on those while more are read. */
const SHOWN_BYTES = 1 << 20;
/** A read or write of 1 MiB in pages of 4 KiB is one request, with its header and its status. */
const QUEUE_SIZE = 1024;
const CONFIG_BYTES = 96;
const ID_BYTES = 20;

class Blk implements VirtioModel {
  readonly virtio: VirtioDescription;
  readonly config: Uint8Array;
  readonly #disk: Disk;
  readonly #context: BlkContext & { writeThrough: boolean };
  #idle: BlkRequest[] = [];
  readonly #active = new Map<Job, BlkRequest>();
  /** Queues with buffers that found no room. */
  readonly #waiting = new Set<Virtqueue>();
  /** One of its queues, all of which know how much a step has come to. */
  #queue: Virtqueue | undefined;
  /** Bytes of reads and writes that were begun since the last step. */
  #begun = 0;

  constructor(disk: Disk, queues: number, id: Uint8Array) {
    const writing = disk.writable ? Feature.DISCARD | Feature.WRITE_ZEROES : Feature.RO;
    this.virtio = { deviceId: 2, features: READING | writing, queues, queueSize: QUEUE_SIZE };
    this.config = describe(disk, queues);
    this.#disk = disk;
    this.#context = { disk, id, writeThrough: false };
  }

  start(features: bigint, [queue]: readonly Virtqueue[]): void {
    this.#queue = queue;
    this.#context.writeThrough = !has(features, Feature.FLUSH);
  }

  serve(queue: Virtqueue): void {
    while (this.#mayTake) {
      const chain = queue.take();
      if (chain === undefined) return;
      this.#begin(queue, chain);
    }
    this.#waiting.add(queue);
  }

  busy(): boolean {
    return this.#active.size > 0 || this.#waiting.size > 0;
  }

  step(): boolean {
    this.#begun = 0;
    if (this.#takeFinished() < SHOWN_BYTES) this.#serveWaiting();
    return this.#disk.hasFinished || (this.#waiting.size > 0 && this.#hasRoom);
  }

  /**
   * Waits for what is under way. What has to end now is done once more, a request in each call; what it gives
   * the second time is the same.
   */
  drain(now = false): Drained {
    if (now) return this.#doOldest();
    this.#takeFinished();
    return this.#disk.hasFinished || (this.#active.size > 0 && 'waits');
  }

  /** Goes on with requests whose jobs have ended, for about a millisecond. @returns their bytes. */
  #takeFinished(): number {
    let bytes = 0;
    while (bytes < STEP_BYTES && this.#queue?.spent !== true) {
      const job = this.#disk.takeFinished();
      if (job === undefined) break;
      bytes += job.length;
      const request = this.#active.get(job)!;
      if (request.goOn()) this.#disk.start(job);
      else this.#release(request);
    }
    return bytes;
  }

  /** @returns whether there are others. */
  #doOldest(): boolean {
    this.#disk.abandon();
    const [oldest] = this.#active;
    if (oldest !== undefined) {
      const [job, request] = oldest;
      do this.#disk.run(job);
      while (request.goOn());
      this.#active.delete(job);
    }
    const more = this.#active.size > 0;
    if (!more) this.#forget();
    return more;
  }

  reset(): void {
    this.#disk.abandon();
    this.#waiting.clear();
    this.#forget();
  }

  #serveWaiting(): void {
    for (const queue of this.#waiting) {
      if (!this.#mayTake) break;
      this.#waiting.delete(queue);
      this.serve(queue);
    }
  }

  get #hasRoom(): boolean {
    return this.#active.size < LIMIT && this.#disk.settled && this.#disk.untaken < SHOWN_BYTES;
  }

  /** May another request be taken out of its queue before the next step? */
  get #mayTake(): boolean {
    return this.#hasRoom && this.#begun < STEP_BYTES;
  }

  #begin(queue: Virtqueue, chain: Chain): void {
    const request = this.#idle.pop() ?? new BlkRequest(this.#context);
    if (!request.begin(queue, chain)) this.#idle.push(request);
    else {
      this.#active.set(request.job, request);
      if (request.job.kind === 'read' || request.job.kind === 'write') this.#begun += request.job.length;
      this.#disk.start(request.job);
    }
  }

  #release(request: BlkRequest): void {
    this.#active.delete(request.job);
    this.#idle.push(request);
  }

  /** Abandoned jobs use their buffers to the end, so no request is used again. */
  #forget(): void {
    this.#active.clear();
    this.#idle = [];
  }
}

/** struct virtio_blk_config (§5.2.4), with the fields for zones, which are zero. */
function describe(disk: Disk, queues: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(CONFIG_BYTES));
  const capacity = disk.size / SECTOR;
  view.setUint32(0, capacity % 2 ** 32, true);
  view.setUint32(4, Math.floor(capacity / 2 ** 32), true);
  view.setUint32(8, 1 << 20, true); // size_max
  view.setUint32(12, QUEUE_SIZE - 2, true); // seg_max
  view.setUint32(20, SECTOR, true); // blk_size
  view.setUint8(24, 3); // physical_block_exp: 4 KiB, as pages of the file
  view.setUint16(26, 8, true); // min_io_size, in blocks
  view.setUint16(34, queues, true);
  if (disk.writable) {
    view.setUint32(36, MAX_CLEARED_SECTORS, true); // max_discard_sectors
    view.setUint32(40, 1, true); // max_discard_seg
    view.setUint32(44, 8, true); // discard_sector_alignment
    view.setUint32(48, MAX_CLEARED_SECTORS, true); // max_write_zeroes_sectors
    view.setUint32(52, 1, true); // max_write_zeroes_seg
    view.setUint8(56, 1); // write_zeroes_may_unmap
  }
  return new Uint8Array(view.buffer);
}

/** The device ID string: ASCII, padded with zeros (§5.2.6). */
function parseSerial(serial = 'ioasid'): Uint8Array {
  if (!/^[\x21-\x7e]{1,20}$/.test(serial))
    throw new Error(`serial "${serial}" is not 1 to ${ID_BYTES} printable characters`);
  const id = new Uint8Array(ID_BYTES);
  id.set(Buffer.from(serial, 'ascii'));
  return id;
}

export const summary = 'a disk (virtio-blk) behind vhost-vdpa';

export const options = {
  file: required('its medium', 'PATH'),
  queues: integer('request queues', 1, 1, 64),
  readonly: flag('nothing is written to the medium'),
  serial: optional('what GET_ID answers', `1 to ${ID_BYTES} characters`, 'ioasid', parseSerial),
};

const createBlk: VirtioFactory = ({ baseDirectory, outside }, given) => {
  const { file, queues, readonly, serial } = parseOptions('virtio-blk', options, given);
  return new Blk(outside.disk(resolve(baseDirectory, file), !readonly), queues, serial);
};

export default createBlk;
