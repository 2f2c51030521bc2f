/**
 * A client that makes one of the costliest calls that there are, over and over, until it is killed: the
 * neighbour in the benchmark `neighbours`. Arguments: the folder of `ioasid serve`, and which call. Prints a
 * line when all is there that the call is about.
 */
import { callIommufd } from '../client/call.js';
import { DsaQueue } from '../client/dsa.js';
import { Ioasid } from '../client/ioasid.js';
import { Iommufd } from '../client/iommufd.js';
import { LinuxTransport } from '../client/linux-transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Opcode } from '../devices/dsa/descriptor.js';
import { Refusal } from '../linux/errno.js';
import { libc } from '../linux/ffi.js';
import { DIRTY_BITMAP_NO_CLEAR, iommufdIoctls } from '../uapi/iommufd.js';

const PAGE = 4096;
const GIB = 2 ** 30;
/** IOMMU_HWPT_ALLOC_DIRTY_TRACKING and IOMMU_HWPT_ALLOC_PASID. */
const DIRTY_TRACKING = 2;
const WITH_PASID = 8;
/** VFIO_PCI_MSI_IRQ_INDEX. */
const MSI = 1;
const EFD_NONBLOCK = 0o4000;
const PROT_READ = 1;
const FALLOC_PUNCH_HOLE_KEEP_SIZE = 3;

const [root, name] = process.argv.slice(2) as [string, string];
const client = new LinuxTransport(root);
const memory = client.createMemfd(GIB / 4);

/** An IOAS with `count` mappings of a page each, a power of two, from IOVA 0 on. */
function manyMappings(iommufd: Iommufd, count: number): number {
  const ioas = iommufd.ioasAlloc();
  iommufd.mapFile(ioas, memory.fd, 0, PAGE, { iova: 0 });
  for (let have = 1; have < count; have *= 2) iommufd.copy(ioas, ioas, 0, have * PAGE, { iova: have * PAGE });
  return ioas;
}

/** A work queue of DSA with the whole file at IOVA 0 and above, again and again up to `bytes`. */
function deviceWith(bytes: number): { device: VfioDeviceFile; ioasid: Ioasid; pasid: number } {
  const ioasid = Ioasid.open(client);
  const pasid = ioasid.alloc();
  for (let iova = 0; iova < bytes; iova += GIB / 4)
    ioasid.mapFile(pasid, memory.fd, 0, GIB / 4, { iova: iova + GIB });
  const device = VfioDeviceFile.open(client, 'vfio0');
  device.enable();
  device.authorize(ioasid, pasid);
  return { device, ioasid, pasid };
}

function fill(device: VfioDeviceFile, pasid: number, destination: number, size: number): boolean {
  try {
    const pattern = [1, 2] as const;
    new DsaQueue(device).submit({
      opcode: Opcode.FILL,
      pasid,
      completion: GIB,
      destination,
      pattern,
      size,
    });
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}

/** One call, or a few, when all that they need has been made. */
type Loop = () => unknown;

function dirty(): Loop {
  const iommufd = Iommufd.open(client);
  const ioas = iommufd.ioasAlloc();
  for (let n = 0; n < 128; n++) iommufd.mapFile(ioas, memory.fd, 0, GIB / 4, { iova: (n * GIB) / 4 + GIB });
  const device = VfioDeviceFile.open(client, 'vfio0');
  device.enable();
  const hwpt = iommufd.hwptAlloc(device.bind(iommufd), ioas, DIRTY_TRACKING | WITH_PASID);
  iommufd.setDirtyTracking(hwpt, true);
  device.attach(hwpt, 1);
  for (let n = 0; n < 32; n++)
    while (!fill(device, 1, GIB + n * GIB, GIB))
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  device.detach(1);
  const range = { iova: GIB, length: 32 * GIB, page_size: PAGE };
  const data = client.allocate((32 * GIB) / PAGE / 8).address;
  const { IOMMU_HWPT_GET_DIRTY_BITMAP } = iommufdIoctls;
  return () =>
    callIommufd(iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, {
      hwpt_id: hwpt,
      flags: DIRTY_BITMAP_NO_CLEAR,
      ...range,
      data,
    });
}

function copy(): Loop {
  const iommufd = Iommufd.open(client);
  const half = 2 ** 19 * PAGE;
  const ioas = manyMappings(iommufd, 2 ** 19);
  return () => {
    iommufd.copy(ioas, ioas, 0, half, { iova: half });
    iommufd.unmap(ioas, half, half);
  };
}

function unmap(): Loop {
  const iommufd = Iommufd.open(client);
  return () => iommufd.unmapAll(manyMappings(iommufd, 2 ** 20));
}

function release(): Loop {
  return () => {
    const iommufd = Iommufd.open(client);
    manyMappings(iommufd, 2 ** 18);
    iommufd.close();
  };
}

function revoke(): Loop {
  const { device, ioasid, pasid } = deviceWith(2 * GIB);
  return () => {
    for (let n = 0; n < 20; n++) fill(device, pasid, GIB, 2 * GIB);
    device.revoke(pasid);
    device.authorize(ioasid, pasid);
  };
}

function areas(): Loop {
  const block = client.allocate(60_000 * PAGE);
  for (let n = 0; n < 60_000; n += 2) libc().mprotect(block.address + n * PAGE, PAGE, PROT_READ);
  const ioasid = Ioasid.open(client);
  const pasid = ioasid.alloc();
  return () => {
    ioasid.map(pasid, block.address, 60_000 * PAGE, { access: 'r' });
    ioasid.unmapAll(pasid);
  };
}

function attach(): Loop {
  const iommufd = Iommufd.open(client);
  const ioas = manyMappings(iommufd, 2 ** 20);
  const device = VfioDeviceFile.open(client, 'vfio0');
  const id = device.bind(iommufd);
  return () => {
    const hwpt = iommufd.hwptAlloc(id, ioas, WITH_PASID);
    device.attach(hwpt, 1);
    device.detach(1);
    iommufd.destroy(hwpt);
  };
}

function holes(): Loop {
  const { device, pasid } = deviceWith(GIB / 4);
  return () => {
    fill(device, pasid, GIB, GIB / 4);
    libc().fallocate(memory.fd, FALLOC_PUNCH_HOLE_KEEP_SIZE, 0, GIB / 4);
  };
}

function choose(): Loop {
  const iommufd = Iommufd.open(client);
  const ioas = manyMappings(iommufd, 2 ** 19);
  // Every other page is free, and none of the holes is long enough.
  iommufd.allow(ioas, [{ start: 0, last: 2 ** 19 * PAGE - 1 }]);
  return () => {
    try {
      iommufd.mapFile(ioas, memory.fd, 0, 2 * PAGE);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  };
}

function ranges(): Loop {
  const iommufd = Iommufd.open(client);
  const ioas = iommufd.ioasAlloc();
  const all = Array.from({ length: 4096 }, (_, n) => ({ start: 2 * n * PAGE, last: (2 * n + 1) * PAGE - 1 }));
  return () => iommufd.allow(ioas, all);
}

function information(): Loop {
  const iommufd = Iommufd.open(client);
  const dev_id = VfioDeviceFile.open(client, 'vfio0').bind(iommufd);
  const data_len = GIB / 4;
  const data_uptr = client.allocate(data_len).address;
  return () => callIommufd(iommufd, iommufdIoctls.IOMMU_GET_HW_INFO, { dev_id, data_len, data_uptr });
}

function registers(): Loop {
  const device = VfioDeviceFile.open(client, 'vfio0');
  device.enable();
  return () => device.read(0, 0, 2 ** 16);
}

function interrupts(): Loop {
  const device = VfioDeviceFile.open(client, 'vfio1');
  device.enable();
  device.setEventfds(MSI, 0, [libc().eventfd(0, EFD_NONBLOCK)]);
  const written = new Uint8Array(4);
  return () => device.write(0, 0, written);
}

const calls: Readonly<Record<string, () => Loop>> = {
  dirty,
  copy,
  unmap,
  release,
  revoke,
  areas,
  attach,
  holes,
  choose,
  ranges,
  information,
  registers,
  interrupts,
};
const loop = calls[name]!();
console.log('ready');
for (;;) loop();
