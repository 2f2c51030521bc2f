import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DsaQueue } from '../client/dsa.js';
import { FaultQueue } from '../client/fault-queue.js';
import { InProcess } from '../client/in-process.js';
import { Iommufd } from '../client/iommufd.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Flag, Opcode } from '../devices/dsa/descriptor.js';
import { type PageHearer, PageRequests } from '../driver/page-requests.js';
import type { PageRequest } from '../ioasid/page-faults.js';
import { vpasidOf } from '../iommu/pasid.js';
import { Machine } from '../machine/machine.js';

const PAGE = 4096;
const IOVA = 0x10_0000;
const PASID = 5;
/** IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID. */
const FAULTS_FOR_PASIDS = 12;

/** What a bound device hears. */
function hearing(): { device: PageHearer; heard: PageRequest[] } {
  const heard: PageRequest[] = [];
  return {
    device: { pageRequest: (request) => void heard.push(request) },
    heard,
  };
}

test('each request is a group of its own, of the page its address lies in, and finds its own answer', () => {
  const { device, heard } = hearing();
  const pages = new PageRequests();
  const read = pages.ask(device, vpasidOf(7), 0x1234, false)!;
  const write = pages.ask(device, vpasidOf(0), 0x5fff, true)!;
  assert.deepEqual(heard, [
    { pasid: 7, group: 0, last: true, access: 1, address: 0x1000n },
    { pasid: undefined, group: 1, last: true, access: 2, address: 0x5000n },
  ]);
  pages.respond({ pasid: undefined, group: 1, code: 0 });
  assert.deepEqual([read.answer, write.answer], ['pending', 'success']);
  pages.respond({ pasid: vpasidOf(7), group: 0, code: 1 });
  assert.equal(read.answer, 'invalid');
});

test('as many requests are outstanding as can be told apart, and an answered one makes room', () => {
  const { device, heard } = hearing();
  const pages = new PageRequests();
  for (let n = 0; n < 512; n++) assert.ok(pages.ask(device, vpasidOf(1), n * PAGE, false));
  assert.equal(pages.ask(device, vpasidOf(1), 0, false), undefined);
  pages.respond({ pasid: vpasidOf(1), group: 99, code: 0 });
  assert.ok(pages.ask(device, vpasidOf(1), 0, false));
  assert.equal(heard.at(-1)!.group, 99);
});

test('a machine whose devices wait for pages has nothing to do', async () => {
  const machine = await Machine.create({ devices: ['dsa,ready=1'] });
  const process = new InProcess(machine, { run: false });
  const iommufd = Iommufd.open(process);
  const queue = FaultQueue.alloc(iommufd);
  const device = VfioDeviceFile.open(process, 'vfio0');
  device.enable();
  const id = device.bind(iommufd);
  const ioas = iommufd.ioasAlloc();
  device.attach(iommufd.hwptAlloc(id, ioas, FAULTS_FOR_PASIDS, undefined, queue.id), PASID);
  new DsaQueue(device).submit({
    opcode: Opcode.FILL,
    pasid: PASID,
    completion: IOVA,
    destination: IOVA,
    size: 8,
    flags: Flag.BLOCK_ON_FAULT,
  });
  for (let steps = 0; machine.step(); steps++) assert.ok(steps < 100, 'it never rests');
  assert.equal(machine.devices[0]!.driver.busy(), true);
  const [fault] = queue.read();
  const memory = process.createMemfd(PAGE);
  iommufd.mapFile(ioas, memory.fd, 0, PAGE, { iova: IOVA });
  queue.respond(fault!.cookie, true);
  while (machine.step());
  assert.equal(machine.devices[0]!.driver.busy(), false);
  process.exit();
});
