/**
 * VeventQueue: a queue of a vIOMMU's events, typed: ours or the kernel's.
 */
import {
  iommufdNumber,
  VEVENTQ_FLAG_LOST_EVENTS,
  VeventHeaderStruct,
  VeventqAllocStruct,
} from '../uapi/iommufd.js';
import { getU32, setU32 } from '../uapi/struct.js';
import type { Iommufd } from './iommufd.js';
import type { Transport } from './transport.js';

const POLLIN = 1;

export interface ViommuEvent {
  /** Events are numbered; a gap is events that were lost. */
  readonly sequence: number;
  /** What belongs to the queue's type; undefined: events up to this number were lost. */
  readonly data: Uint8Array | undefined;
}

export class VeventQueue {
  readonly id: number;
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
    { transport, fd }: Iommufd,
    viommu: number,
    type: number,
    depth: number,
    eventBytes: number,
  ): VeventQueue {
    const { at, size } = VeventqAllocStruct;
    const data = new Uint8Array(size);
    setU32(data, at.size, size);
    setU32(data, at.viommu_id, viommu);
    setU32(data, at.type, type);
    setU32(data, at.veventq_depth, depth);
    transport.ioctl(fd, iommufdNumber('IOMMU_VEVENTQ_ALLOC'), data);
    return new VeventQueue(
      transport,
      getU32(data, at.out_veventq_id),
      getU32(data, at.out_veventq_fd),
      eventBytes,
    );
  }

  /** Waits for an event, at most `timeoutMs` (-1: for ever). @returns whether there is one to read. */
  wait(timeoutMs: number): boolean {
    return (this.#transport.poll(this.fd, POLLIN, timeoutMs) & POLLIN) !== 0;
  }

  /** The events that there are, up to `most`; none is no error. */
  read(most = 64): ViommuEvent[] {
    const { at, size } = VeventHeaderStruct;
    const bytes = new Uint8Array(most * (size + this.#eventBytes));
    const length = this.#transport.read(this.fd, bytes);
    const events: ViommuEvent[] = [];
    for (let from = 0; from < length; ) {
      const lost = (getU32(bytes, from + at.flags) & VEVENTQ_FLAG_LOST_EVENTS) !== 0;
      const end = from + size + (lost ? 0 : this.#eventBytes);
      events.push({
        sequence: getU32(bytes, from + at.sequence),
        data: lost ? undefined : bytes.slice(from + size, end),
      });
      from = end;
    }
    return events;
  }

  close(): void {
    this.#transport.close(this.fd);
  }
}
