/** What `--strict` turns on: each row of docs/differences.md that says so, with it and without. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Iommufd } from '../client/iommufd.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { finished } from '../file/work.js';
import { BufferMemory } from '../iommu/memory.js';
import { Machine } from '../machine/machine.js';
import { FakeCaller, MEMORY_AT } from '../testkit/fake-caller.js';
import { refused } from '../testkit/refused.js';
import { iommufdTable } from './iommufd.js';

const IOAS_MAP_FILE = 0x3b8f;
/** The BAR of a dsa that has its portals. */
const PORTALS = 2;

/** Its rows, by their first cells. */
const documented = readFileSync(new URL('../../docs/differences.md', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('|') && line.includes('`--strict`'))
  .map((line) => line.split('|')[1]!.trim());

async function open(name: string, strict: boolean) {
  const transport = new InProcess(await Machine.create({ devices: [name], strict }));
  return { transport, device: VfioDeviceFile.open(transport, 'vfio0') };
}

/** Of descriptors that nobody has looked at. */
async function submitUnseen(strict: boolean): Promise<void> {
  const machine = await Machine.create({ devices: ['dsa,idxd=1,ready=1'], strict });
  const transport = new InProcess(machine);
  const fd = transport.open('dsa/wq0.0');
  const batch = new Uint8Array(64).fill(1, 7, 8);
  if (strict) refused(() => transport.write(fd, batch), 'EINVAL', /batch/);
  else assert.equal(transport.write(fd, batch), 64);
  const without = { pid: transport.pid, rawIo: false, livesIn: () => true };
  const map = () => [...machine.idxd[0]!.clients][0]!.checkMapping(without, 4096);
  if (strict) refused(map, 'EPERM', /CAP_SYS_RAWIO/);
  else map();
}

async function attachMediated(strict: boolean): Promise<void> {
  const { transport, device } = await open('dsa,mdevs=2', strict);
  const iommufd = Iommufd.open(transport);
  const id = device.bind(iommufd);
  const [ioas, other] = [iommufd.ioasAlloc(), iommufd.ioasAlloc()];
  if (strict) {
    refused(() => iommufd.hwptAlloc(id, ioas), 'ENOENT', /device 1 is mediated/);
    refused(() => iommufd.hwInfo(id), 'ENOENT', /mediated/);
    refused(() => device.attach(ioas, 5), 'EOPNOTSUPP', /mediated/);
    assert.deepEqual([device.attach(ioas), device.attach(other)], [ioas, other]);
    for (let hwpt = other + 1; hwpt < other + 3; hwpt++) refused(() => device.attach(hwpt), 'ENOENT');
  } else {
    const hwpt = iommufd.hwptAlloc(id, ioas);
    assert.equal(device.attach(hwpt), hwpt);
    assert.notEqual(device.attach(other), other);
  }
}

async function mapDisk(strict: boolean): Promise<void> {
  const iommufd = (await Machine.create({ devices: [], strict })).iommufd.open(1);
  const caller = new FakeCaller();
  const memory = Object.assign(new BufferMemory(new Uint8Array(4096)), { onDisk: true });
  let held = 1;
  memory.close = () => void held--;
  caller.fileMemory = () => ({ memory, offset: 0 });
  const request = [40, 6, iommufd.allocIoas().id, 7, 0, 0, 4096, 0, 0, 0];
  for (const [n, word] of request.entries()) caller.view.setUint32(4 * n, word, true);
  const call = { cmd: IOAS_MAP_FILE, arg: MEMORY_AT, data: new Uint8Array() };
  const map = () => iommufdTable.get(IOAS_MAP_FILE)!.handle(iommufd, caller, call);
  if (strict) refused(() => finished(map()), 'EINVAL', /is on a disk/);
  else assert.equal(finished(map()), 0);
  assert.equal(held, strict ? 0 : 1);
}

const checks: Readonly<Record<string, (strict: boolean) => Promise<void>>> = {
  async 'a device file before `BIND_IOMMUFD`'(strict) {
    const { transport, device } = await open('edu', strict);
    if (strict) refused(() => device.info(), 'EINVAL', /only after BIND_IOMMUFD/);
    else assert.equal(device.info().regions, 9);
    device.bind(Iommufd.open(transport));
    assert.equal(device.info().regions, 9);
  },

  async "a second open of a device's own file"(strict) {
    const { transport, device } = await open('edu', strict);
    device.bind(Iommufd.open(transport));
    const again = () => VfioDeviceFile.open(transport, 'vfio0');
    if (!strict) {
      refused(again, 'EBUSY');
      return;
    }
    const second = again();
    refused(() => second.bind(Iommufd.open(transport)), 'EINVAL');
    device.close();
    second.bind(Iommufd.open(transport));
  },

  async 'functions of conventional PCI (`edu`)'(strict) {
    const { transport, device } = await open('edu', strict);
    device.bind(Iommufd.open(transport));
    if (strict) refused(() => device.reset(), 'EINVAL', /conventional PCI/);
    else device.reset();
    assert.equal(device.regionInfo(7).size, strict ? 256 : 4096);
  },

  'page tables of mediated devices': attachMediated,

  async 'a `pwrite` of 64 bytes to a portal (`dsa`)'(strict) {
    const { transport, device } = await open('dsa', strict);
    device.bind(Iommufd.open(transport));
    device.enable();
    const { offset } = device.regionInfo(PORTALS);
    const write = (length: number) => transport.pwrite(device.fd, Number(offset), new Uint8Array(length));
    if (strict) assert.deepEqual([write(64), write(32)], [64, 32], 'accesses of 8 bytes, which are ignored');
    else {
      refused(() => write(64), 'EAGAIN', /work queue 0 is not enabled/);
      refused(() => write(32), 'EINVAL', /portal/);
    }
  },

  'a batch by `write`, and `mmap` (`dsa,idxd=1`)': submitUnseen,

  '`IOAS_MAP_FILE` of a file on a local disk': mapDisk,
};

/** What is the server's, and not a machine's: the test of real processes that runs it with `--strict`. */
const ofServer: Readonly<Record<string, string>> = {
  "what a user's mappings count for": 'src/cli/programs/memlock.test.ts',
};

test('each row of docs/differences.md that names strict is checked, and no other', () => {
  assert.deepEqual([...Object.keys(checks), ...Object.keys(ofServer)].sort(), [...documented].sort());
  for (const path of Object.values(ofServer))
    assert.match(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'), /'--strict'/, path);
});

for (const [row, check] of Object.entries(checks))
  for (const strict of [true, false])
    test(`${strict ? 'with' : 'without'} strict: ${row}`, () => check(strict));
