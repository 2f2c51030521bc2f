/**
 * Scene: a context with mock devices, and their vIOMMUs. An IOMMU that has vIOMMUs is the mock one only, of
 * Linux's test interface (`--iommu-test`).
 */
import { Iommufd } from '../client/iommufd.js';
import type { Transport } from '../client/transport.js';
import { VeventQueue } from '../client/vevent-queue.js';
import { refusal } from '../testkit/refused.js';
import { TestStruct } from '../uapi/iommu-test/layouts.js';
import { HwptInvalidateStruct, iommufdNumber } from '../uapi/iommufd.js';
import { getU32, setBig, setU32 } from '../uapi/struct.js';
import { PAGE } from './rule.js';

const IOMMU_TEST_CMD = 0x3ba0;
const [MOCK_DOMAIN, REPLACE, CHECK_IOTLB, CHECK_CACHE, TRIGGER_VEVENT] = [2, 10, 14, 16, 17] as const;
/** IOMMU_HWPT_ALLOC_NEST_PARENT. */
const NEST_PARENT = 1;
/** The formats of the mock IOMMU, and what it caches from the beginning. */
export const DATA = 0xdead;
export const TYPE = 0xdeadbeef;
const EVENTS = 0xbeefbeef;
export const IOTLB = 0x1234;
export const CACHE_DEFAULT = 0xbaddad;
/** Where mock devices' IOVAs begin. */
export const APERTURE = 0x100_0000;
export const VIRTUAL_ID = 0x99;

interface Mock {
  /** The mock device, and the device that iommufd knows. */
  readonly mock: number;
  readonly id: number;
}

/** Its devices are on one IOAS, and there is a parent of nested tables. */
export class Scene {
  readonly transport: Transport;
  readonly iommufd: Iommufd;
  readonly ioas: number;
  readonly device: Mock;
  readonly parent: number;

  constructor(transport: Transport) {
    this.transport = transport;
    this.iommufd = Iommufd.open(transport);
    this.ioas = this.iommufd.ioasAlloc();
    this.device = this.addDevice();
    this.parent = this.iommufd.hwptAlloc(this.device.id, this.ioas, NEST_PARENT);
  }

  addDevice(): Mock {
    const data = this.#test(MOCK_DOMAIN, this.ioas);
    return { mock: getU32(data, 16), id: getU32(data, 24) };
  }

  viommu(): number {
    return this.iommufd.viommuAlloc(this.device.id, this.parent, TYPE);
  }

  /** A nested table on a HWPT or vIOMMU. */
  nested(on: number): number {
    return this.iommufd.hwptAlloc(this.device.id, on, 0, { type: DATA, bytes: words(IOTLB, 0) });
  }

  replace(pageTable: number, { mock } = this.device): void {
    this.#test(REPLACE, mock, pageTable);
  }

  /** Is cached entry `n` of a nested table `value`? */
  iotlbIs(hwpt: number, n: number, value: number): void {
    this.#test(CHECK_IOTLB, hwpt, n, value);
  }

  cacheIs(n: number, value: number, { id } = this.device): void {
    this.#test(CHECK_CACHE, id, n, value);
  }

  /** A queue of the vIOMMU's events, each of which is the number that the device has there. */
  events(viommu: number, depth: number): VeventQueue {
    return VeventQueue.alloc(this.iommufd, viommu, EVENTS, depth, 4);
  }

  /** Something happens to the device, `count` times. */
  trigger(count: number, { id } = this.device): void {
    for (let n = 0; n < count; n++) this.#test(TRIGGER_VEVENT, 0, id);
  }

  /**
   * HWPT_INVALIDATE. @returns how many entries were handled, and the errno with which the next was refused.
   */
  invalidate(
    hwpt: number,
    entries: readonly (readonly number[])[],
    { type = TYPE, length = 4 * (entries[0]?.length ?? 2), claimed = entries.length } = {},
  ) {
    const { at, size } = HwptInvalidateStruct;
    const memory = this.transport.allocate(PAGE);
    memory.bytes.set(words(...entries.flat()));
    const data = new Uint8Array(size);
    setU32(data, at.size, size);
    setU32(data, at.hwpt_id, hwpt);
    setBig(data, at.data_uptr, BigInt(memory.address));
    setU32(data, at.data_type, type);
    setU32(data, at.entry_len, length);
    setU32(data, at.entry_num, claimed);
    const code = outcome(() =>
      this.transport.ioctl(this.iommufd.fd, iommufdNumber('IOMMU_HWPT_INVALIDATE'), data),
    );
    memory.free();
    return [getU32(data, at.entry_num), code];
  }

  close(): void {
    this.iommufd.close();
  }

  #test(op: number, id: number, a = 0, b = 0): Uint8Array {
    const data = new Uint8Array(TestStruct.size);
    setU32(data, 0, TestStruct.size);
    setU32(data, 4, op);
    setU32(data, 8, id);
    setU32(data, 16, a);
    setU32(data, 20, b);
    this.transport.ioctl(this.iommufd.fd, IOMMU_TEST_CMD, data);
    return data;
  }
}

export function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  for (const [n, value] of values.entries()) setU32(bytes, 4 * n, value);
  return bytes;
}

export const outcome = (run: () => unknown) => refusal(run)?.code ?? 'ok';
