/**
 * VeventQueue: a queue of a vIOMMU's events, typed: ours or the kernel's.
 */
import { VEVENTQ_FLAG_LOST_EVENTS, VeventHeaderStruct, veventQueueIoctls } from '../uapi/iommufd.js';
import { callIommufd } from './call.js';
import type { Iommufd } from './iommufd.js';
import type { Transport } from './transport.js';

const POLLIN = 1;

/** One event of a vIOMMU. */
export interface ViommuEvent {
  /** Events are numbered; a gap is events that were lost. */
  readonly sequence: number;
  /** What belongs to the queue's type; undefined: events up to this number were lost. */
  readonly data: Uint8Array | undefined;
}

/** A queue of a vIOMMU's events. */
export class VeventQueue {
  /** The object's id. */
  readonly id: number;
  /** Its own descriptor, which is read and polled. */
  readonly fd: number;
  readonly #transport: Transport;
  readonly #eventBytes: number;

  private constructor(transport: Transport, id: number, fd: number, eventBytes: number) {
    this.#transport = transport;
    this.id = id;
    this.fd = fd;
    this.#eventBytes = eventBytes;
  }

  /**
   * A queue for events of `type` (IOMMU_VEVENTQ_TYPE_*), with room for `depth` of them.
   * @param eventBytes how long the data of an event of this type is
   * @throws Refusal ENOENT, EEXIST, EINVAL; EOPNOTSUPP where the server cannot give a program new
   * descriptors.
   */
  static alloc(
    iommufd: Iommufd,
    viommu: number,
    type: number,
    depth: number,
    eventBytes: number,
  ): VeventQueue {
    const queue = callIommufd(iommufd, veventQueueIoctls.IOMMU_VEVENTQ_ALLOC, {
      viommu_id: viommu,
      type,
      veventq_depth: depth,
    });
    return new VeventQueue(iommufd.transport, queue.out_veventq_id, queue.out_veventq_fd, eventBytes);
  }

  /** Waits for an event, at most `timeoutMs` (-1: for ever). @returns whether there is one to read. */
  wait(timeoutMs: number): boolean {
    return (this.#transport.poll(this.fd, POLLIN, timeoutMs) & POLLIN) !== 0;
  }

  /** The events that there are, up to `most`; none is no error. */
  read(most = 64): ViommuEvent[] {
    const { size } = VeventHeaderStruct;
    const bytes = new Uint8Array(most * (size + this.#eventBytes));
    const length = this.#transport.read(this.fd, bytes);
    const events: ViommuEvent[] = [];
    for (let from = 0; from < length; ) {
      const { flags, sequence } = VeventHeaderStruct.decode(bytes, from);
      const lost = (flags & VEVENTQ_FLAG_LOST_EVENTS) !== 0;
      const end = from + size + (lost ? 0 : this.#eventBytes);
      events.push({ sequence, data: lost ? undefined : bytes.slice(from + size, end) });
      from = end;
    }
    return events;
  }

  /** Closes the descriptor. The object stays until it is destroyed. */
  close(): void {
    this.#transport.close(this.fd);
  }
}
