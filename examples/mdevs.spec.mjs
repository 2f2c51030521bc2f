// A test by node:test of two VMs with mediated devices of one function, in this process: the real IOMMU and
// the real VFIO files, without FUSE, root or native code.
//
//     node --test mdevs.spec.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess, Ioasid, Machine, VfioDeviceFile } from 'ioasid';

const CONFIG = 7;
const BAR2 = 2;
const GUEST_PASID = 1;

/** A VM: a context of its own, memory at 0x10000 of its PASID, and mediated device `n`. */
function vmOf(machine, n) {
  const process = new InProcess(machine);
  const ioasid = Ioasid.open(process);
  const device = VfioDeviceFile.open(process, `vfio${n}`);
  const memory = process.allocate(8192);
  const pasid = ioasid.alloc();
  ioasid.map(pasid, memory.address, 8192, { iova: 0x10000 });
  device.authorize(ioasid, pasid, GUEST_PASID);
  device.write(CONFIG, 4, Uint8Array.of(6, 0)); // memory space and bus mastering
  return { ioasid, device, memory, pasid };
}

/** A DSA descriptor that fills 8 bytes at 0x10000, and has its completion record at 0x11000. */
function fill(text) {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(GUEST_PASID, 0);
  bytes.writeUInt32LE((4 << 24) | 0xc, 4);
  bytes.writeBigUInt64LE(0x11000n, 8);
  bytes.write(text, 16, 8, 'latin1');
  bytes.writeBigUInt64LE(0x10000n, 24);
  bytes.writeUInt32LE(8, 32);
  return bytes;
}

test('each VM reaches its own memory by the same PASID number, and not the PASID of the other', async () => {
  const machine = await Machine.create({ devices: ['dsa,mdevs=2'] });
  const [a, b] = [vmOf(machine, 0), vmOf(machine, 1)];
  a.device.write(BAR2, 0, fill('for VM A'));
  b.device.write(BAR2, 0, fill('for VM B'));
  while (machine.step());
  for (const [vm, text] of [
    [a, 'for VM A'],
    [b, 'for VM B'],
  ])
    assert.equal(Buffer.from(vm.memory.bytes.subarray(0, 8)).toString(), text);
  assert.throws(() => a.device.authorize(a.ioasid, b.pasid, 2), {
    code: 'ENOENT',
    message: /PASID \d+ is not in this context/,
  });
});
