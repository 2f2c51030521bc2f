/**
 * FaultQueue: a queue of page faults of iommufd, typed: ours or the kernel's. Devices that are attached to an
 * HWPT allocated with it ask for pages here, and wait for the answers.
 */
import { PAGE_RESPONSE_INVALID, PAGE_RESPONSE_SUCCESS } from '../ioasid/page-faults.js';
import {
  faultQueueIoctls,
  PageFaultStruct,
  PageResponseStruct,
  PGFAULT_FLAGS_LAST_PAGE,
  PGFAULT_FLAGS_PASID_VALID,
} from '../uapi/iommufd.js';
import type { Decoded } from '../uapi/struct.js';
import { callIommufd } from './call.js';
import type { Iommufd } from './iommufd.js';
import type { Transport } from './transport.js';

const POLLIN = 1;

/** One page that a device wants. */
export interface PageFault {
  /** The device's id in the context. */
  readonly device: number;
  /** As the device's program knows it; undefined when the device's requests carry none. */
  readonly pasid: number | undefined;
  /** The page request group of the device. */
  readonly group: number;
  /** Ends its group, which is answered as a whole. */
  readonly last: boolean;
  /** IOMMU_PGFAULT_PERM_*: 1 read, 2 write. */
  readonly access: number;
  /** The page, by its first byte. */
  readonly address: bigint;
  /** What the group is answered by. */
  readonly cookie: number;
}

/** A queue of page faults of `/dev/iommu`: devices wait for what is answered here. */
export class FaultQueue {
  /** The object's id: HWPTs are allocated with it. */
  readonly id: number;
  /** Its own descriptor, which is read, written and polled. */
  readonly fd: number;
  readonly #transport: Transport;

  private constructor(transport: Transport, id: number, fd: number) {
    this.#transport = transport;
    this.id = id;
    this.fd = fd;
  }

  /** @throws Refusal EOPNOTSUPP where the server cannot give a program new descriptors. */
  static alloc(iommufd: Iommufd): FaultQueue {
    const queue = callIommufd(iommufd, faultQueueIoctls.IOMMU_FAULT_QUEUE_ALLOC, {});
    return new FaultQueue(iommufd.transport, queue.out_fault_id, queue.out_fault_fd);
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
    return Array.from({ length: length / size }, (_, n) => toFault(PageFaultStruct.decode(bytes, n * size)));
  }

  /**
   * Answers the group behind `cookie`: its pages are there, or they will not be. @throws Refusal EINVAL no
   * group waits under it.
   */
  respond(cookie: number, success: boolean): void {
    const code = success ? PAGE_RESPONSE_SUCCESS : PAGE_RESPONSE_INVALID;
    this.#transport.write(this.fd, PageResponseStruct.encode({ cookie, code }));
  }

  /** Closes the descriptor. The object stays until it is destroyed. */
  close(): void {
    this.#transport.close(this.fd);
  }
}

function toFault(fault: Decoded<typeof PageFaultStruct.types>): PageFault {
  return {
    device: fault.dev_id,
    pasid: fault.flags & PGFAULT_FLAGS_PASID_VALID ? fault.pasid : undefined,
    group: fault.grpid,
    last: (fault.flags & PGFAULT_FLAGS_LAST_PAGE) !== 0,
    access: fault.perm,
    address: fault.addr,
    cookie: fault.cookie,
  };
}
