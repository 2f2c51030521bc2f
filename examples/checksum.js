/**
 * A checksum engine: the Adler-32 of memory, one job at a time, each in the address space that the PASID
 * register names.
 *
 * BAR 0, little-endian:
 *
 *     0x00 RO u32  identification, 0x6d757363 ("csum")
 *     0x04 RW u32  PASID of the jobs that are started from now on
 *     0x08 WO u64  doorbell: the IOVA of a job; not taken (EAGAIN) while a job is running
 *
 * A job is 32 bytes of memory. The device writes the second half when it is done, then raises MSI 0.
 *
 *     0x00 u64 address           0x08 u64 length
 *     0x10 u32 status: 1 done, 2 fault    0x14 u32 checksum    0x18 u64 faulting IOVA
 *
 * @import { DeviceFactory, PciDescription } from 'ioasid'
 */
import { parseOptions } from 'ioasid/options';
import { Registers } from 'ioasid/registers';

const SLICE = 64 * 1024; // bytes per step(): well under a millisecond
const PASID = 0x04;

/**
 * Where it is, what is left to sum up, and the sums so far.
 * @typedef {{ pasid: number, iova: number, address: number, left: number, a: number, b: number }} Job
 */

/** @type {PciDescription} */
const pci = {
  vendorId: 0x1234,
  deviceId: 0xadd1,
  classCode: 0x088000,
  bars: [{ index: 0, size: 4096 }],
  msi: 1,
  pasidBits: 20,
};

export const summary = 'a checksum engine, the Adler-32 of memory';
export const options = {};

/** @type {DeviceFactory} */
export default function createChecksum(host, given) {
  parseOptions('checksum', options, given);
  const registers = new Registers([
    { name: 'IDENTIFICATION', offset: 0x00, width: 4, access: 'ro', reset: 0x6d757363 },
    { name: 'PASID', offset: PASID, width: 4, access: 'rw', whole: true, write: setPasid },
    { name: 'DOORBELL', offset: 0x08, width: 8, access: 'wo', whole: true, write: ring },
  ]);
  const data = Buffer.alloc(SLICE);
  /** The job that is running. @type {Job | undefined} */
  let job;

  /** @param {number} pasid */
  function setPasid(pasid) {
    if (host.dma.admits(pasid)) registers.set(PASID, pasid);
  }

  /** @param {number} low @param {number} high */
  function ring(low, high) {
    if (job) return false;
    const pasid = registers.get(PASID);
    const iova = low + high * 2 ** 32;
    // Where there is no job there is no place to report it in, either; the IOMMU has logged the fault.
    if (host.dma.read(pasid, iova, data, 0, 16)) return true;
    job = { pasid, iova, address: number64(data, 0), left: number64(data, 8), a: 1, b: 0 };
    return true;
  }

  /** @param {number} status @param {number} checksum @param {number} faultIova */
  function finish(status, checksum, faultIova) {
    data.writeUInt32LE(status, 0);
    data.writeUInt32LE(checksum, 4);
    // Where a number is inexact it may be 2^64.
    data.writeBigUInt64LE(BigInt.asUintN(64, BigInt(faultIova)), 8);
    if (job) host.dma.write(job.pasid, job.iova + 16, data, 0, 16);
    job = undefined;
    host.interrupt(0);
  }

  return {
    pci,
    readBar: (_bar, offset, target) => registers.read(offset, target),
    writeBar: (_bar, offset, source) => registers.write(offset, source),
    reset() {
      job = undefined;
      registers.reset();
    },
    step() {
      if (!job) return;
      const n = Math.min(job.left, SLICE);
      const fault = n > 0 ? host.dma.read(job.pasid, job.address, data, 0, n) : undefined;
      if (fault) return finish(2, 0, fault.iova);
      add(job, data.subarray(0, n));
      job.address += n;
      job.left -= n;
      if (job.left === 0) finish(1, job.b * 65536 + job.a, 0);
    },
    busy: (pasid) => job !== undefined && (pasid === undefined || pasid === job.pasid),
  };
}

/**
 * Adds bytes to the two sums of Adler-32.
 * @param {{ a: number, b: number }} sums @param {Uint8Array} bytes
 */
function add(sums, bytes) {
  for (const byte of bytes) {
    sums.a = (sums.a + byte) % 65521;
    sums.b = (sums.b + sums.a) % 65521;
  }
}

/** A 64-bit number; inexact above 2^53, where nothing is mapped. @param {Buffer} bytes @param {number} at */
const number64 = (bytes, at) => bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
