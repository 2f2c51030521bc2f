import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Machine } from '../machine/machine.js';
import { refused } from '../testkit/refused.js';
import { TestStruct } from './iommu-test/layouts.js';
import {
  GetDirtyBitmapStruct,
  HwptAllocStruct,
  IoasAllocStruct,
  IoasMapFileStruct,
  IoasMapStruct,
  SetDirtyTrackingStruct,
} from './iommufd.js';
import { getU32, type Struct, setU32, setU64 } from './struct.js';

const APERTURE = 0x100_0000;
const PAGE = 4096;
const [ADD_RESERVED, MOCK_DOMAIN, CHECK_MAP, CHECK_REFS, CREATE_ACCESS, DESTROY_PAGES, PAGES, RW] = [
  1, 2, 3, 4, 5, 6, 7, 8,
];
const DIRTY = 13;
const [DMABUF_GET, DMABUF_REVOKE] = [22, 23] as const;

class Tester {
  readonly process: InProcess;
  readonly fd: number;

  constructor(machine: Machine) {
    this.process = new InProcess(machine);
    this.fd = this.process.open('iommu');
  }

  /** `fields`: value by offset; 8 bytes from offset 16 on unless the value's offset is in `words`. */
  call(
    nr: number,
    struct: Struct,
    wide: Record<number, number>,
    words: Record<number, number> = {},
  ): Uint8Array {
    const data = new Uint8Array(struct.size);
    setU32(data, 0, struct.size);
    for (const [at, value] of Object.entries(wide)) setU64(data, Number(at), value);
    for (const [at, value] of Object.entries(words)) setU32(data, Number(at), value);
    this.process.ioctl(this.fd, 0x3b00 | nr, data);
    return data;
  }

  test(
    op: number,
    id: number,
    wide: Record<number, number> = {},
    words: Record<number, number> = {},
  ): Uint8Array {
    return this.call(0xa0, TestStruct, wide, { 4: op, 8: id, ...words });
  }

  ioas(): number {
    return getU32(this.call(0x81, IoasAllocStruct, {}), IoasAllocStruct.at.out_ioas_id);
  }

  map(ioas: number, address: number, length: number, iova: number): void {
    const { at } = IoasMapStruct;
    this.call(
      0x85,
      IoasMapStruct,
      { [at.user_va]: address, [at.length]: length, [at.iova]: iova },
      { [at.flags]: 7, [at.ioas_id]: ioas },
    );
  }

  /** IOAS_MAP_FILE, readable and writable. @returns the IOVA that was chosen. */
  mapFile(ioas: number, fd: number, start: number, length: number): number {
    const { at } = IoasMapFileStruct;
    const wide = { [at.start]: start, [at.length]: length };
    const words = { [at.flags]: 6, [at.ioas_id]: ioas, [at.fd]: fd };
    return getU32(this.call(0x8f, IoasMapFileStruct, wide, words), at.iova);
  }

  /** @returns the descriptor of a dma-buf, or what else the call returns. */
  dmaBuf(length: number): number {
    const data = new Uint8Array(TestStruct.size);
    for (const [at, value] of [
      [0, TestStruct.size],
      [4, DMABUF_GET],
      [16, length],
    ] as const)
      setU32(data, at, value);
    return this.process.ioctl(this.fd, 0x3ba0, data);
  }

  /** @returns the ids of the mock device, its HWPT and its device. */
  device(ioas: number): [number, number, number] {
    const data = this.test(MOCK_DOMAIN!, ioas);
    return [getU32(data, 16), getU32(data, 20), getU32(data, 24)];
  }
}

async function tester(): Promise<Tester> {
  return new Tester(await Machine.create({ devices: [], iommuTest: true }));
}

test('without the option there is no test interface', async () => {
  const plain = new Tester(await Machine.create({ devices: [] }));
  refused(() => plain.test(MOCK_DOMAIN!, 1), 'ENOTTY');
});

test('the page table of a mock device leads to the memory that was mapped, and to no other', async () => {
  const user = await tester();
  const memory = user.process.allocate(2 * PAGE);
  const ioas = user.ioas();
  const [, hwpt] = user.device(ioas);
  user.map(ioas, memory.address, PAGE, APERTURE);
  user.test(CHECK_MAP!, hwpt, { 16: APERTURE, 24: PAGE, 32: memory.address });
  refused(() => user.test(CHECK_MAP!, hwpt, { 16: APERTURE, 24: PAGE, 32: memory.address + PAGE }), 'EINVAL');
  user.test(CHECK_REFS!, 0, { 16: PAGE, 24: memory.address }, { 32: 1 });
  refused(() => user.test(CHECK_REFS!, 0, { 16: PAGE, 24: memory.address }, { 32: 0 }), 'EIO');
});

test('a mock device and its page table go when it is destroyed or its context is closed', async () => {
  const user = await tester();
  const ioas = user.ioas();
  const [device] = user.device(ioas);
  const destroy = (id: number) => user.call(0x80, { ...IoasAllocStruct, size: 8 }, {}, { 4: id });
  refused(() => destroy(ioas), 'EBUSY');
  destroy(device);
  destroy(ioas);
  user.device(user.ioas());
  user.process.close(user.fd);
});

test('a reserved range cannot be mapped', async () => {
  const user = await tester();
  const memory = user.process.allocate(PAGE);
  const ioas = user.ioas();
  user.test(ADD_RESERVED!, ioas, { 16: APERTURE, 24: PAGE });
  refused(() => user.map(ioas, memory.address, PAGE, APERTURE), 'EINVAL');
});

test('4096 ranges of an IOAS can be reserved, then ENOMEM', async () => {
  const user = await tester();
  const ioas = user.ioas();
  const reserve = (n: number) => user.test(ADD_RESERVED!, ioas, { 16: APERTURE + n * PAGE, 24: PAGE });
  for (let n = 0; n < 4096; n++) reserve(n);
  refused(() => reserve(4096), 'ENOMEM', /4096 ranges/);
  user.test(ADD_RESERVED!, user.ioas(), { 16: APERTURE, 24: PAGE });
});

test('an access copies at any IOVA; what is unmapped is pinned no more', async () => {
  const user = await tester();
  const memory = user.process.allocate(2 * PAGE);
  const buffer = user.process.allocate(PAGE);
  const ioas = user.ioas();
  user.map(ioas, memory.address, 2 * PAGE, APERTURE);
  const access = getU32(user.test(CREATE_ACCESS!, ioas, {}, { 20: 1 }), 16);
  memory.bytes.set([1, 2, 3], PAGE - 1);
  user.test(RW!, access, { 16: APERTURE + PAGE - 1, 24: 3, 32: buffer.address });
  assert.deepEqual([...buffer.bytes.subarray(0, 3)], [1, 2, 3]);
  const pages = () => getU32(user.test(PAGES!, access, { 24: APERTURE, 32: PAGE, 40: memory.address }), 20);
  user.test(DESTROY_PAGES!, access, {}, { 16: pages() });
  const pin = pages();
  user.call(0x86, { ...IoasMapStruct, size: 24 }, { 8: APERTURE, 16: 2 * PAGE }, { 4: ioas });
  refused(() => user.test(DESTROY_PAGES!, access, {}, { 16: pin }), 'ENOENT');
  user.process.close(access);
});

test('a dma-buf is memory until it is revoked, and then for those alone who take it again', async () => {
  const user = await tester();
  for (const length of [0, 512 * PAGE + 1]) refused(() => user.dmaBuf(length), 'EINVAL');
  const buffer = user.dmaBuf(3 * PAGE + 1);
  const ioas = user.ioas();
  const map = (start: number, length: number) => user.mapFile(ioas, buffer, start, length);
  refused(() => map(4 * PAGE, PAGE), 'EINVAL');
  refused(() => map(0, 5 * PAGE), 'EINVAL');
  const iova = map(PAGE, PAGE);
  const access = getU32(user.test(CREATE_ACCESS!, ioas, {}, { 20: 1 }), 16);
  const word = user.process.allocate(PAGE);
  const copy = (write: boolean, at: number) =>
    user.test(RW!, access, { 16: at, 24: 4, 32: word.address }, { 40: write ? 1 : 0 });
  word.bytes.set([1, 2, 3, 4]);
  copy(true, iova);
  const revoke = (revoked: number) => user.test(DMABUF_REVOKE, 0, {}, { 16: buffer, 20: revoked });
  revoke(1);
  refused(() => copy(false, iova), 'EFAULT');
  refused(() => map(0, PAGE), 'ENODEV', /revoked/);
  revoke(0);
  refused(() => copy(false, iova), 'EFAULT');
  const again = map(0, 2 * PAGE);
  word.bytes.fill(0);
  copy(false, again + PAGE);
  assert.deepEqual([...word.bytes.subarray(0, 4)], [1, 2, 3, 4]);
  refused(() => user.test(DMABUF_REVOKE, 0, {}, { 16: access, 20: 1 }), 'EOPNOTSUPP');
  refused(() => user.test(DMABUF_REVOKE, 0, {}, { 16: 999, 20: 1 }), 'EBADF');
});

test('dma-bufs count as pages of their context, then ENOMEM: while open, and while mapped', async () => {
  const machine = await Machine.create({ devices: [], iommuTest: true, tableQuota: 1024 });
  const [user, other] = [new Tester(machine), new Tester(machine)];
  const ioas = user.ioas();
  const [first, second] = [user.dmaBuf(512 * PAGE), user.dmaBuf(512 * PAGE)];
  const full = () => refused(() => user.dmaBuf(1), 'ENOMEM', /quota of 1024 pages/);
  full();
  user.process.close(first);
  const third = user.dmaBuf(512 * PAGE);
  full();
  const iova = user.mapFile(ioas, third, 0, PAGE);
  user.process.close(third);
  full();
  user.call(0x86, { ...IoasMapStruct, size: 24 }, { 8: iova, 16: PAGE }, { 4: ioas });
  user.dmaBuf(512 * PAGE);
  full();
  user.process.close(second);
  other.dmaBuf(512 * PAGE);
});

test('GET_DIRTY_BITMAP names the pages that were written since it was asked last', async () => {
  const user = await tester();
  const memory = user.process.allocate(4 * PAGE);
  const bitmap = user.process.allocate(PAGE);
  const ioas = user.ioas();
  const [, , device] = user.device(ioas);
  user.map(ioas, memory.address, 4 * PAGE, APERTURE);
  const alloc = HwptAllocStruct.at;
  const made = user.call(
    0x89,
    HwptAllocStruct,
    {},
    { [alloc.flags]: 2, [alloc.dev_id]: device, [alloc.pt_id]: ioas },
  );
  const hwpt = getU32(made, alloc.out_hwpt_id);
  user.call(0x8b, SetDirtyTrackingStruct, {}, { 4: 1, 8: hwpt });
  bitmap.bytes[0] = 0b1000_0001;
  const range = { 24: APERTURE, 32: 4 * PAGE, 40: 2048, 48: bitmap.address };
  user.test(DIRTY, hwpt, range);
  const { at } = GetDirtyBitmapStruct;
  const ask = (flags: number) => {
    bitmap.bytes[0] = 0;
    const wide = {
      [at.iova]: APERTURE,
      [at.length]: 4 * PAGE,
      [at.page_size]: 2048,
      [at.data]: bitmap.address,
    };
    user.call(0x8c, GetDirtyBitmapStruct, wide, { [at.hwpt_id]: hwpt, [at.flags]: flags });
    return bitmap.bytes[0];
  };
  assert.equal(ask(1), 0b1000_0001);
  assert.equal(ask(0), 0b1000_0001);
  assert.equal(ask(0), 0);
});
