/** A program that makes the raw ioctls of containers, groups and their devices, in the same process. */
import { InProcess } from '../client/in-process.js';
import type { Machine } from '../machine/machine.js';
import { getBig, getU32, setBig, setU16, setU32 } from '../uapi/struct.js';
import * as abi from '../uapi/vfio-container.js';

const PAGE = 4096;
const MEMORY_BYTES = 0x10000;
export const RID = '0000:6a:01.0';
const IOMMU_IOAS_ALLOC = 0x3b81;
const IOMMU_VFIO_IOAS = 0x3b88;

type Field = readonly [at: number, value: number | bigint];

export class ContainerProgram {
  readonly process: InProcess;
  readonly #block;
  /** What `map` maps unless it is told otherwise. */
  readonly #memory: bigint;

  constructor(machine: Machine) {
    this.process = new InProcess(machine);
    this.#block = this.process.allocate(PAGE);
    this.#memory = BigInt(this.process.allocate(MEMORY_BYTES).address);
  }

  /**
   * One ioctl with a struct of `size` bytes, its size in the first field. @returns the struct and the result.
   */
  call(
    fd: number,
    cmd: number,
    size: number,
    fields: readonly Field[] = [],
  ): { result: number; data: Uint8Array } {
    const data = this.#block.bytes.fill(0).subarray(0, Math.max(size, 256));
    setU32(data, 0, size);
    for (const [at, value] of fields)
      typeof value === 'bigint' ? setBig(data, at, value) : setU32(data, at, value);
    return { result: this.process.ioctlAt(fd, cmd, this.#block.address), data };
  }

  /** The struct as a refused call has left it. */
  get left(): Uint8Array {
    return this.#block.bytes;
  }

  plain(fd: number, cmd: number, argument = 0): number {
    return this.process.ioctlAt(fd, cmd, argument);
  }

  map(
    fd: number,
    iova: bigint,
    size: bigint,
    vaddr = this.#memory,
    flags = abi.MAP_READ | abi.MAP_WRITE,
  ): void {
    this.call(fd, abi.VFIO_IOMMU_MAP_DMA, 32, [
      [4, flags],
      [8, vaddr],
      [16, iova],
      [24, size],
    ]);
  }

  unmap(fd: number, iova: bigint, size: bigint, flags = 0): bigint {
    const { data } = this.call(fd, abi.VFIO_IOMMU_UNMAP_DMA, 24, [
      [4, flags],
      [8, iova],
      [16, size],
    ]);
    return getBig(data, 16);
  }

  /** The group's and the container's descriptors are presented. */
  join(group: number, container: number): void {
    const { address, bytes } = this.process.allocate(4);
    setU32(bytes, 0, container);
    this.plain(group, abi.VFIO_GROUP_SET_CONTAINER, address);
  }

  /** VFIO_GROUP_GET_DEVICE_FD. */
  device(group: number, name = RID): number {
    const { address, bytes } = this.process.allocate(PAGE);
    bytes.set(Buffer.from(name));
    return this.plain(group, abi.VFIO_GROUP_GET_DEVICE_FD, address);
  }

  status(group: number): number {
    return getU32(this.call(group, abi.VFIO_GROUP_GET_STATUS, 8).data, 4);
  }

  /** Makes an IOAS and names it for the container's calls. */
  nameIoas(container: number): void {
    const id = getU32(this.call(container, IOMMU_IOAS_ALLOC, 12).data, 8);
    const { address, bytes } = this.process.allocate(12);
    setU32(bytes, 0, 12);
    setU32(bytes, 4, id);
    setU16(bytes, 8, 1);
    this.plain(container, IOMMU_VFIO_IOAS, address);
  }
}
