/**
 * FaultQueue: a queue of page faults of iommufd, typed: ours or the kernel's. Devices that are attached to an
 * HWPT allocated with it ask for pages here, and wait for the answers.
 */
import { PAGE_RESPONSE_INVALID, PAGE_RESPONSE_SUCCESS } from '../iommufd/fault-queue.js';
import {
  FaultAllocStruct,
  iommufdNumber,
  PageFaultStruct,
  PageResponseStruct,
  PGFAULT_FLAGS_LAST_PAGE,
  PGFAULT_FLAGS_PASID_VALID,
} from '../uapi/iommufd.js';
import { getBig, getU32, setU32 } from '../uapi/struct.js';
import type { Iommufd } from './iommufd.js';
import type { Transport } from './transport.js';

const POLLIN = 1;

/** One page that a device wants. */
export interface PageFault {
  /** The device's id in the context. */
  readonly device: number;
  /** As the device's program knows it; undefined when the device's requests carry none. */
  readonly pasid: number | undefined;
  readonly group: number;
  /** Ends its group, which is answered as a whole. */
  readonly last: boolean;
  /** IOMMU_PGFAULT_PERM_*: 1 read, 2 write. */
  readonly access: number;
  readonly address: bigint;
  /** What the group is answered by. */
  readonly cookie: number;
}

export class FaultQueue {
  /** The object's id: HWPTs are allocated with it. */
  readonly id: number;
  readonly fd: number;
  readonly #transport: Transport;

  private constructor(transport: Transport, id: number, fd: number) {
    this.#transport = transport;
    this.id = id;
    this.fd = fd;
  }

  /** @throws Refusal EOPNOTSUPP where the server cannot give a program new descriptors. */
  static alloc({ transport, fd }: Iommufd): FaultQueue {
    const { at, size } = FaultAllocStruct;
    const data = new Uint8Array(size);
    setU32(data, at.size, size);
    transport.ioctl(fd, iommufdNumber('IOMMU_FAULT_QUEUE_ALLOC'), data);
    return new FaultQueue(transport, getU32(data, at.out_fault_id), getU32(data, at.out_fault_fd));
  }

  /** Waits for a fault, at most `timeoutMs` (-1: for ever). @returns whether there is one to read. */
  wait(timeoutMs: number): boolean {
    return (this.#transport.poll(this.fd, POLLIN, timeoutMs) & POLLIN) !== 0;
  }

  /**
   * The faults that there are, up to `most`; none is no error. @throws Refusal EINVAL the next group has more
   * than `most`.
   */
  read(most = 64): PageFault[] {
    const { size } = PageFaultStruct;
    const bytes = new Uint8Array(most * size);
    const length = this.#transport.read(this.fd, bytes);
    return Array.from({ length: length / size }, (_, n) => decode(bytes.subarray(n * size, (n + 1) * size)));
  }

  /**
   * Answers the group behind `cookie`: its pages are there, or they will not be. @throws Refusal EINVAL no
   * group waits under it.
   */
  respond(cookie: number, success: boolean): void {
    const { at, size } = PageResponseStruct;
    const answer = new Uint8Array(size);
    setU32(answer, at.cookie, cookie);
    setU32(answer, at.code, success ? PAGE_RESPONSE_SUCCESS : PAGE_RESPONSE_INVALID);
    this.#transport.write(this.fd, answer);
  }

  close(): void {
    this.#transport.close(this.fd);
  }
}

function decode(bytes: Uint8Array): PageFault {
  const { at } = PageFaultStruct;
  const flags = getU32(bytes, at.flags);
  return {
    device: getU32(bytes, at.dev_id),
    pasid: flags & PGFAULT_FLAGS_PASID_VALID ? getU32(bytes, at.pasid) : undefined,
    group: getU32(bytes, at.grpid),
    last: (flags & PGFAULT_FLAGS_LAST_PAGE) !== 0,
    access: getU32(bytes, at.perm),
    address: getBig(bytes, at.addr),
    cookie: getU32(bytes, at.cookie),
  };
}
