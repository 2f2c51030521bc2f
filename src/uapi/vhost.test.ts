/** A vhost-vdpa file as a program has it: in-process, with its memory, its eventfds and its descriptors. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { Feature, Status } from '../devices/virtio/features.js';
import { Machine } from '../machine/machine.js';
import { refused } from '../testkit/refused.js';
import { AUTHORIZE_ASID, AuthorizeStruct, ioctlNumber } from './ioasid.js';
import { setBig, setU32, sized } from './struct.js';
import { VHOST_TYPE } from './vhost.js';
import { MessageStruct } from './vhost-iotlb.js';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-vhost-'));
after(() => rmSync(directory, { recursive: true, force: true }));
writeFileSync(join(directory, 'disk.img'), new Uint8Array(1 << 16));

const number = (direction: number, nr: number, size: number) =>
  ((direction << 30) | (size << 16) | (VHOST_TYPE << 8) | nr) >>> 0;
const SET_MEM_TABLE = number(1, 0x03, 8);
const SET_OWNER = number(0, 1, 0);
const GET_FEATURES = number(2, 0, 8);
const SET_FEATURES = number(1, 0, 8);
const SET_STATUS = number(1, 0x72, 1);
const RUNNING = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK;
const PAGE = 4096;

async function setUp() {
  const machine = await Machine.create({
    devices: ['virtio-blk,file=disk.img', 'edu'],
    baseDirectory: directory,
  });
  const program = new InProcess(machine);
  const fd = program.open('vhost-vdpa-0');
  const ioctl = (cmd: number, data = new Uint8Array(4)) => program.ioctl(fd, cmd, data);
  const message = (iotlb_type: number, uaddr: number, version = 2) =>
    program.write(
      fd,
      MessageStruct.encode({ type: version, iova: 0x10000, size: PAGE, uaddr, perm: 3, iotlb_type }),
    );
  return { machine, program, fd, ioctl, message };
}

test('one number with two directions is two ioctls, and another size is a third', async () => {
  const { ioctl } = await setUp();
  const features = new Uint8Array(8);
  ioctl(GET_FEATURES, features);
  assert.notDeepEqual(features, new Uint8Array(8));
  setBig(features, 0, Feature.VERSION_1);
  refused(() => ioctl(SET_FEATURES, features), 'EINVAL', /ACCESS_PLATFORM/);
  refused(() => ioctl(number(2, 0, 4)), 'EPERM', /nobody does/);
  ioctl(SET_OWNER);
  refused(() => ioctl(number(2, 0, 4)), 'ENOTTY', /has no ioctl 0x8004af00/);
});

test('the first word of whatever is about a queue is its index', async () => {
  const { ioctl } = await setUp();
  ioctl(SET_OWNER);
  const one = new Uint8Array(8);
  setU32(one, 0, 1);
  refused(() => ioctl(number(0, 0xee, 0), one), 'ENOBUFS', /has no queue 1/);
  refused(() => ioctl(number(1, 0x10, 8), one), 'ENOBUFS');
  setU32(one, 0, 0);
  refused(() => ioctl(number(0, 0xee, 0), one), 'ENOTTY');
});

test('a table of memory is looked at, and nothing comes of it', async () => {
  const { program, fd, ioctl, machine } = await setUp();
  const { address, bytes } = program.allocate(PAGE);
  ioctl(SET_OWNER);
  const give = (regions: number, padding = 0, at = 0) => {
    setU32(bytes, at, regions);
    setU32(bytes, at + 4, padding);
    return program.ioctlAt(fd, SET_MEM_TABLE, address + at);
  };
  assert.equal(give(0), 0);
  assert.equal(give(64), 0);
  refused(() => give(65), 'E2BIG', /65 regions/);
  refused(() => give(0, 1), 'EOPNOTSUPP');
  assert.equal(give(0, 0, PAGE - 8), 0);
  refused(() => give(1, 0, PAGE - 8), 'EFAULT');
  setBig(bytes, 8 + 32, 0x1000n);
  refused(() => give(2), 'EFAULT', /a region of 0x0 bytes of memory at 0x1000 ends before/);
  setBig(bytes, 8 + 40, 2n ** 64n - 0x1000n);
  assert.equal(give(2), 0);
  setBig(bytes, 8 + 40, 2n ** 64n - 0xfffn);
  refused(() => give(2), 'EFAULT', /ends before it begins/);
  assert.equal(machine.snapshot().mappings, 0);
});

test('only the owner maps, by messages of both versions; what is wrong inside one is EFAULT', async () => {
  const { program, message, ioctl, machine } = await setUp();
  const { address } = program.allocate(PAGE);
  refused(() => message(2, address), 'EFAULT', /does not own vhost-vdpa-0/);
  ioctl(SET_OWNER);
  assert.equal(message(2, address), MessageStruct.size);
  refused(() => message(2, address, 1), 'EFAULT', /overlaps the mapping/);
  message(3, 0, 1);
  assert.equal(machine.snapshot().mappings, 0);
  refused(() => message(2, address, 3), 'EINVAL', /messages of type 3/);
  refused(() => message(1, address), 'EFAULT', /1 is no type/);
});

test('a file of a device with ASIDs is authorized by ASID, one of any other device is not', async () => {
  const { program, fd, ioctl, message } = await setUp();
  const ioasid = Ioasid.open(program);
  const pasid = ioasid.alloc();
  const authorize = (device: number, flags: number, vpasid: number) =>
    program.ioctl(
      device,
      ioctlNumber('IOASID_AUTHORIZE'),
      sized(AuthorizeStruct, { flags, ioasid_fd: ioasid.fd, pasid, vpasid }),
    );
  const edu = program.open('vfio/devices/vfio0');
  refused(() => authorize(edu, AUTHORIZE_ASID, 0), 'EINVAL', /vfio0 has no ASIDs/);
  refused(() => authorize(fd, 0, 0), 'EINVAL', /vhost-vdpa-0 is authorized by ASIDs/);
  refused(() => authorize(fd, AUTHORIZE_ASID, 1), 'EINVAL', /no ASID 1/);
  authorize(fd, AUTHORIZE_ASID, 0);
  ioctl(SET_OWNER);
  refused(() => message(2, program.allocate(PAGE).address), 'EFAULT', /ASID 0 of vhost-vdpa-0 is PASID/);
});

test('while the device runs its ASIDs stay what they are', async () => {
  const { program, fd, ioctl } = await setUp();
  const ioasid = Ioasid.open(program);
  const pasid = ioasid.alloc();
  const features = new Uint8Array(8);
  setBig(features, 0, Feature.VERSION_1 | Feature.ACCESS_PLATFORM);
  ioctl(SET_FEATURES, features);
  ioctl(SET_STATUS, Uint8Array.of(RUNNING));
  const given = sized(AuthorizeStruct, { flags: AUTHORIZE_ASID, ioasid_fd: ioasid.fd, pasid });
  refused(() => program.ioctl(fd, ioctlNumber('IOASID_AUTHORIZE'), given), 'EBUSY', /vhost-vdpa-0 runs/);
});
