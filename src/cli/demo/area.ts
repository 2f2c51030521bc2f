/**
 * Area: memory of one VM for devices to work on. A page of completion records, then the data; always mapped
 * at the same IOVA, in whichever PASID, so that a record or a byte has one IOVA in all of them.
 */
import type { Vm } from './vm.js';

const PAGE = 4096;
const RECORD = 32;
export const AREA_IOVA = 0x10_0000;
/** IOVA of the first byte of data. */
export const DATA_IOVA = AREA_IOVA + PAGE;

/** Who asks which device, in which PASID, as the device knows it. */
export interface Asked {
  readonly vm: Vm;
  readonly device: number;
  readonly pasid: number;
}

export interface FillOptions {
  /** Number of the completion record, 0 to 127. */
  readonly record?: number;
  /** Where in the data to begin. */
  readonly from?: number;
  readonly bytes?: number;
}

export class Area {
  /** Bytes of data. */
  readonly bytes: number;
  readonly #vm: Vm;
  readonly #address: number;

  private constructor(vm: Vm, address: number, bytes: number) {
    this.#vm = vm;
    this.#address = address;
    this.bytes = bytes;
  }

  static async make(vm: Vm, bytes: number): Promise<Area> {
    return new Area(vm, await vm.memory(PAGE + bytes), bytes);
  }

  async map(ioasid: number, pasid: number): Promise<void> {
    await this.#vm.map(ioasid, pasid, this.#address, PAGE + this.bytes, AREA_IOVA);
  }

  /** Clears the record, then has a device fill data. */
  async fill(
    { vm, device, pasid }: Asked,
    value: number,
    { record = 0, from = 0, bytes = this.bytes - from }: FillOptions = {},
  ) {
    await this.#vm.set(this.#address + record * RECORD, RECORD, 0);
    await vm.fill({
      device,
      pasid,
      record: AREA_IOVA + record * RECORD,
      destination: DATA_IOVA + from,
      bytes,
      value,
    });
  }

  status(record = 0): Promise<number> {
    return this.#vm.status(this.#address + record * RECORD);
  }

  wait(record = 0): Promise<number> {
    return this.#vm.wait(this.#address + record * RECORD);
  }

  /** Has the VM's own CPU set all the data. */
  async set(value: number): Promise<void> {
    await this.#vm.set(this.#address + PAGE, this.bytes, value);
  }

  /** How many bytes of the data are `value`. */
  count(value: number): Promise<number> {
    return this.#vm.count(this.#address + PAGE, this.bytes, value);
  }
}
