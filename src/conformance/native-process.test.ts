/** PASIDs of kind process: a device works at the addresses of the program itself. */
import assert from 'node:assert/strict';
import { Ioasid } from '../client/ioasid.js';
import type { Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { refused } from '../testkit/refused.js';
import { getU32, getU64, setU64 } from '../uapi/struct.js';
import { CHECKSUM_OF_ONES, DONE, FAULT } from './checksum.js';
import { PAGE, rulesOf, served } from './rule.js';

const PROCESS = 2;

/** The checksum device, with its jobs and data in memory of this process that was mapped nowhere. */
function prepare(transport: Transport) {
  const ioasid = Ioasid.open(transport);
  const device = VfioDeviceFile.open(transport, 'vfio0');
  device.enable();
  const job = transport.allocate(PAGE);
  const data = transport.allocate(PAGE);
  data.bytes.fill(1);
  const pasid = ioasid.alloc(PROCESS);
  /** Has the device sum up 16 bytes. @returns what it wrote behind the job; undefined: nothing. */
  const run = (address: number) => {
    job.bytes.fill(0, 0, 32);
    setU64(job.bytes, 0, address);
    setU64(job.bytes, 8, 16);
    device.write32(0, 4, pasid);
    const doorbell = new Uint8Array(8);
    setU64(doorbell, 0, job.address);
    device.write(0, 8, doorbell);
    const status = () => getU32(job.bytes, 16);
    if (!served(device, () => status() !== 0)) return undefined;
    return { status: status(), checksum: getU32(job.bytes, 20), faultIova: getU64(job.bytes, 24) };
  };
  const close = () => {
    ioasid.close();
    device.close();
    job.free();
  };
  return { ioasid, device, data, pasid, run, close };
}

const rule = rulesOf('ioasid');

rule('a PASID of kind process is the memory of the program, at its addresses, as it is now', (transport) => {
  const { ioasid, device, data, pasid, run, close } = prepare(transport);
  assert.equal(ioasid.info().kinds & 4, 4);
  assert.equal(run(data.address), undefined, 'no device may use it before it is authorized');
  device.authorize(ioasid, pasid);
  assert.deepEqual(run(data.address), { status: DONE, checksum: CHECKSUM_OF_ONES, faultIova: 0 });
  const { address } = data;
  data.free();
  assert.deepEqual(run(address), { status: FAULT, checksum: 0, faultIova: address }, 'a hole');
  device.revoke(pasid);
  assert.equal(run(address), undefined);
  close();
});

rule('nothing is mapped in a PASID of kind process, it is no parent, and has none', (transport) => {
  const { ioasid, pasid, data, close } = prepare(transport);
  refused(() => ioasid.map(pasid, data.address, PAGE), 'EINVAL', /of kind process/);
  refused(() => ioasid.unmapAll(pasid), 'EINVAL', /of kind process/);
  refused(() => ioasid.copy(ioasid.alloc(), pasid, data.address, PAGE), 'EINVAL', /of kind process/);
  refused(() => ioasid.alloc(1, pasid), 'EINVAL', /of kind process/);
  refused(() => ioasid.alloc(PROCESS, pasid), 'EINVAL', /only a nested PASID/);
  refused(() => ioasid.bindPageTable(pasid, { root: 0 }), 'EINVAL', /of kind process/);
  assert.equal(ioasid.info().mappings, 0);
  ioasid.free(pasid);
  data.free();
  close();
});
