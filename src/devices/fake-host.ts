/**
 * FakeHost: a DeviceHost for unit tests of device models, with no IOMMU behind it; a VirtioHost, too.
 *
 * Memory is what `map` gave it, one flat list per PASID. What is not mapped, or not with the right, faults,
 * with the bytes before it transferred, as in the real one. It remembers the interrupts that the model
 * raised, what it has said, and the faults that it was given.
 *
 * What a machine refuses a model it refuses by the same checks (checks.ts, check-model.ts): `make` makes the
 * model, and before it has returned there is no device that could do anything.
 */

import { deviceMemory } from '../linux/device-memory.js';
import { checkModel } from './check-model.js';
import { checkInterrupt, checkIntx, checkTransfer, inFactory, isRecord } from './checks.js';
import { type Alarm, Clock } from './clock.js';
import type {
  DeviceHost,
  DeviceModel,
  DeviceOptions,
  DmaFault,
  DmaPort,
  Link,
  PageWait,
  PciDescription,
} from './device-model.js';
import { checkTimer } from './device-timers.js';
import { Outside } from './outside.js';
import { checkVirtioModel } from './virtio/check-virtio-model.js';
import type { VirtioHost, VirtioModel } from './virtio/virtio-model.js';
import { Wires } from './wire.js';

interface Mapping {
  readonly pasid: number;
  readonly iova: number;
  readonly bytes: Uint8Array;
  readonly writable: boolean;
}

/** A page request, which the test answers by setting `answer`. */
export interface FakePageRequest extends PageWait {
  /** As the model has given it. */
  readonly pasid: number;
  /** The address that the model has asked for. */
  readonly iova: number;
  /** It is to be written. */
  readonly write: boolean;
  answer: PageWait['answer'];
}

/** A host for unit tests of models, PCI and virtio: memory is what `map` gives. */
export class FakeHost implements DeviceHost, VirtioHost {
  /** The vectors raised, oldest first. */
  readonly interrupts: number[] = [];
  /** Are they enabled? */
  messages = true;
  /** The level of the INTx line, as the model has said it last. */
  line = false;
  /** What the model has said, oldest first. */
  readonly notes: string[] = [];
  /** The faults that accesses ended with, oldest first. */
  readonly faults: DmaFault[] = [];
  /** The pages that the model has asked for, oldest first. */
  readonly pageRequests: FakePageRequest[] = [];
  /** Somebody hears of page requests. */
  hearsPageRequests = false;
  /** The time, which stands still until the test moves it: `clock.advance(1000)`. */
  readonly clock = new Clock();
  /**
   * The links: `wires.end('wire0')` is the test's end of what the model calls wire0. Two hosts with the same
   * wires have devices that are joined.
   */
  wires = new Wires();
  /** @internal */
  readonly outside = new Outside();
  /** Reads and writes what `map` gave; all else faults. */
  readonly dma: DmaPort;
  /** Where relative paths in options begin. */
  baseDirectory = process.cwd();
  #pci: PciDescription | undefined;
  #isThere = false;
  readonly #mappings: Mapping[] = [];
  readonly #alarms = new Set<Alarm>();

  /**
   * @param admitted the PASIDs that may be loaded, as a mediated device's list; undefined: any, as for a
   * function of its own.
   */
  constructor(admitted?: readonly number[]) {
    this.dma = {
      read: (pasid, iova, target, at = 0, length = target.length - at) => {
        this.#check(target, at, length);
        return this.#transfer(pasid, iova, length, false, (bytes, from, done) =>
          target.set(bytes.subarray(from.start, from.end), at + done),
        );
      },
      write: (pasid, iova, source, at = 0, length = source.length - at) => {
        this.#check(source, at, length);
        return this.#transfer(pasid, iova, length, true, (bytes, to, done) =>
          bytes.set(source.subarray(at + done, at + done + to.end - to.start), to.start),
        );
      },
      requestPage: (pasid, iova, write) => {
        this.#there('dma');
        if (!this.hearsPageRequests || this.#pci?.pageRequests !== true) return undefined;
        const request: FakePageRequest = { pasid, iova, write, answer: 'pending' };
        this.pageRequests.push(request);
        return request;
      },
      admits: (pasid) => admitted === undefined || admitted.includes(pasid),
    };
  }

  /** Makes `bytes` the memory at `iova` of `pasid`. The model's writes are seen in `bytes` itself. */
  map(pasid: number, iova: number, bytes: Uint8Array, writable = true): void {
    this.#mappings.push({ pasid, iova, bytes, writable });
  }

  /**
   * The model that `factory` makes, checked as a machine checks it: of a PCI function, a mediated device
   * (`(host) => parent.mdev.create(0, host)`), or a virtio device. DMA, interrupts and timers work from then
   * on. @throws what `factory` throws. @throws Refusal EINVAL what a machine would refuse of the model.
   */
  make<M extends DeviceModel | VirtioModel>(
    factory: (host: FakeHost, options: DeviceOptions) => M,
    options: DeviceOptions = {},
  ): M {
    this.#pci = undefined;
    this.#isThere = false;
    const model = factory(this, options);
    if (isRecord(model) && 'virtio' in model) checkVirtioModel(model);
    else this.#pci = checkModel(model).pci;
    this.#isThere = true;
    return model;
  }

  interrupt(vector: number): void {
    checkInterrupt(this.#pci, vector);
    this.interrupts.push(vector);
  }

  intx(level: boolean): void {
    checkIntx(this.#pci);
    this.line = level;
  }

  memory(length: number): Uint8Array {
    return deviceMemory(length);
  }

  now(): number {
    return this.clock.now;
  }

  after(microseconds: number, callback: () => void): () => void {
    this.#there('after');
    checkTimer(microseconds, callback, this.#alarms.size);
    const alarm = this.clock.after(microseconds, () => {
      this.#alarms.delete(alarm);
      callback();
    });
    this.#alarms.add(alarm);
    return () => {
      this.#alarms.delete(alarm);
      this.clock.cancel(alarm);
    };
  }

  /** Resets `model` as its device is reset: its timers are gone, and the line is low. */
  reset(model: { reset(): void }): void {
    model.reset();
    for (const alarm of this.#alarms) this.clock.cancel(alarm);
    this.#alarms.clear();
    this.line = false;
  }

  link(name?: string): Link {
    return this.wires.link(name);
  }

  note(sentence: string): void {
    this.notes.push(String(sentence));
  }

  #there(what: string): void {
    if (!this.#isThere) inFactory(what);
  }

  #check(bytes: Uint8Array, at: number, length: number): void {
    this.#there('dma');
    checkTransfer(bytes, at, length);
  }

  #transfer(
    pasid: number,
    iova: number,
    length: number,
    write: boolean,
    copy: (bytes: Uint8Array, range: { start: number; end: number }, done: number) => void,
  ): DmaFault | undefined {
    let done = 0;
    while (done < length) {
      const here = iova + done;
      const found = this.#mappings.find(
        (m) => m.pasid === pasid && here >= m.iova && here < m.iova + m.bytes.length,
      );
      if (found === undefined || (write && !found.writable)) return this.#fault(here, done, pasid, write);
      const start = here - found.iova;
      const end = Math.min(found.bytes.length, start + length - done);
      copy(found.bytes, { start, end }, done);
      done += end - start;
    }
    return undefined;
  }

  #fault(iova: number, done: number, pasid: number, write: boolean): DmaFault {
    const fault = {
      iova,
      done,
      pasid,
      write,
      reason: `iova 0x${iova.toString(16)} of PASID ${pasid} is not mapped for this access`,
    };
    this.faults.push(fault);
    return fault;
  }
}

/**
 * Calls `step` until the model is no longer busy, or waits for pages only. @throws Error when it still is
 * after `limit` slices.
 */
export function settle(model: { step?(): boolean | void; busy?(): boolean }, limit = 1000): void {
  for (let slices = 0; model.busy?.() === true; slices++) {
    if (slices === limit) throw new Error(`the model is still busy after ${limit} slices`);
    if (model.step?.() === false) return;
  }
}
