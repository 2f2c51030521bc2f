/** The checksum device (examples/checksum.js), as a program uses it. */
import type { Ioasid } from '../client/ioasid.js';
import type { Iommufd } from '../client/iommufd.js';
import type { MemoryFile, Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { getU32, getU64, setU64 } from '../uapi/struct.js';
import { PAGE, served } from './rule.js';

export const DONE = 1;
export const FAULT = 2;
export const JOB_IOVA = 0x10_0000;
export const DATA_IOVA = 0x20_0000;
/** Adler-32 of 16 bytes of 1. */
export const CHECKSUM_OF_ONES = 0x0098_0011;

/** The checksum device, its jobs in a memory file: page 0 holds the job, page 1 the data. */
export class Checksum {
  readonly device: VfioDeviceFile;
  readonly file: MemoryFile;

  constructor(transport: Transport) {
    this.device = VfioDeviceFile.open(transport, 'vfio0');
    this.device.enable();
    this.file = transport.createMemfd(2 * PAGE);
    this.file.write(PAGE, new Uint8Array(PAGE).fill(1));
  }

  /** Maps the file in `pasid`; `access` is for the data. */
  map(ioasid: Ioasid, pasid: number, access: 'r' | 'rw' = 'rw'): void {
    ioasid.mapFile(pasid, this.file.fd, 0, PAGE, { iova: JOB_IOVA });
    ioasid.mapFile(pasid, this.file.fd, PAGE, PAGE, { iova: DATA_IOVA, access });
  }

  /** Maps the file in an IOAS; `access` is for the data. */
  mapIoas(iommufd: Iommufd, ioas: number, access: 'r' | 'rw' = 'rw'): void {
    iommufd.mapFile(ioas, this.file.fd, 0, PAGE, { iova: JOB_IOVA });
    iommufd.mapFile(ioas, this.file.fd, PAGE, PAGE, { iova: DATA_IOVA, access });
  }

  /**
   * Has the device sum up 16 bytes at `iova`. @returns what it wrote behind the job, or undefined when it
   * could not even read the job.
   */
  run(pasid: number, iova = DATA_IOVA): { status: number; checksum: number; faultIova: number } | undefined {
    const job = new Uint8Array(32);
    setU64(job, 0, iova);
    setU64(job, 8, 16);
    this.file.write(0, job);
    this.device.write32(0, 4, pasid);
    const doorbell = new Uint8Array(8);
    setU64(doorbell, 0, JOB_IOVA);
    this.device.write(0, 8, doorbell);
    const status = () => getU32(this.file.read(0, 32), 16);
    if (!served(this.device, () => status() !== 0)) return undefined;
    const answer = this.file.read(0, 32);
    return { status: getU32(answer, 16), checksum: getU32(answer, 20), faultIova: getU64(answer, 24) };
  }

  close(): void {
    this.device.close();
    this.device.transport.close(this.file.fd);
  }
}
