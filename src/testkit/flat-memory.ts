/** FlatMemory: memory for tests of virtio devices: bytes from IOVA 0 on, with the rights of each. */
import type { DmaFault } from '../devices/device-model.js';
import { STEP_EFFORT } from '../devices/effort.js';
import type { VirtioPort } from '../devices/virtio/ring-memory.js';
import { addressOf } from '../linux/ffi.js';
import type { Ranges } from '../linux/ranges.js';
import type { ScatterList } from '../linux/scatter-list.js';

export class FlatMemory implements VirtioPort {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** For each byte: 1 the device may read it, 2 write it. */
  readonly rights: Uint8Array;
  /** Accesses of the device. */
  reads = 0;
  writes = 0;
  /** What each of its accesses comes to, by which steps of devices end. */
  price = 0;
  /** Says where it is, for files to be read straight to it; and of how many bytes it has. */
  places = false;
  placed = 0;

  constructor(length: number, rights = 3) {
    this.bytes = new Uint8Array(length);
    this.view = new DataView(this.bytes.buffer);
    this.rights = new Uint8Array(length).fill(rights);
  }

  get effort(): number {
    return this.price * (this.reads + this.writes);
  }

  read(asid: number, iova: number, target: Uint8Array, at: number, length: number): DmaFault | undefined {
    this.reads++;
    const done = this.#reach(iova, length, 1);
    target.set(this.bytes.subarray(iova, iova + done), at);
    return done === length ? undefined : this.#fault(asid, iova, done, false);
  }

  write(asid: number, iova: number, source: Uint8Array, at: number, length: number): DmaFault | undefined {
    this.writes++;
    const done = this.#reach(iova, length, 2);
    this.bytes.set(source.subarray(at, at + done), done === 0 ? 0 : iova);
    return done === length ? undefined : this.#fault(asid, iova, done, true);
  }

  /** One access, where accesses have no price; else one for each part, as in many memories. */
  move(asid: number, ranges: Ranges, buffer: Uint8Array, at: number, write: boolean): DmaFault | undefined {
    const [reads, writes] = [this.reads, this.writes];
    let done = 0;
    let fault: DmaFault | undefined;
    for (let part = 0; part < ranges.count && fault === undefined; part++) {
      const [iova, length] = [ranges.addresses[part]!, ranges.lengths[part]!];
      fault = write
        ? this.write(asid, iova, buffer, at + done, length)
        : this.read(asid, iova, buffer, at + done, length);
      done += fault?.done ?? length;
    }
    if (this.price === 0) {
      this.reads = write ? reads : reads + 1;
      this.writes = write ? writes + 1 : writes;
    }
    return fault && { ...fault, done };
  }

  /** As `move`, as far as a step may. */
  moveSome(asid: number, ranges: Ranges, buffer: Uint8Array, at: number, write: boolean): DmaFault | number {
    if (this.price === 0) return this.move(asid, ranges, buffer, at, write) ?? ranges.length;
    const from = this.effort;
    let done = 0;
    for (let part = 0; part < ranges.count && this.effort - from < STEP_EFFORT; part++) {
      const [iova, length] = [ranges.addresses[part]!, ranges.lengths[part]!];
      const fault = this[write ? 'write' : 'read'](asid, iova, buffer, at + done, length);
      if (fault !== undefined) return { ...fault, done: done + fault.done };
      done += length;
    }
    return done;
  }

  place(_asid: number, iova: number, length: number, places: ScatterList): boolean {
    if (!this.places || this.#reach(iova, length, 2) < length) return false;
    this.placed += length;
    this.writes++;
    return places.add(addressOf(this.bytes) + iova, length);
  }

  #reach(iova: number, length: number, right: number): number {
    let done = 0;
    while (done < length && ((this.rights[iova + done] ?? 0) & right) !== 0) done++;
    return done;
  }

  #fault(pasid: number, iova: number, done: number, write: boolean): DmaFault {
    return { iova: iova + done, done, pasid, write, reason: `byte ${iova + done} is not there` };
  }
}
