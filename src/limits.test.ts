/**
 * docs/limits.md has a table of limits with an option: each is reached here, with the option set low, and
 * the errno and the sentence are those of the table. The tests that it names for the others are there.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { explained } from './client/explain.js';
import { InProcess } from './client/in-process.js';
import { Ioasid } from './client/ioasid.js';
import { Iommufd } from './client/iommufd.js';
import { VfioDeviceFile } from './client/vfio-device.js';
import { allocVtdS1 } from './client/vtd.js';
import { DEFAULT_PASID_QUOTA } from './ioasid/pasid-space.js';
import { DEFAULT_MAPPING_QUOTA, DEFAULT_TABLE_QUOTA } from './iommu/quota.js';
import { DEFAULT_OBJECT_QUOTA } from './iommufd/objects.js';
import { Errno } from './linux/errno.js';
import { Machine, type MachineOptions } from './machine/machine.js';
import { namesIn, testsOf } from './testkit/documented.js';
import { refusal } from './testkit/refused.js';
import { MessageStruct } from './uapi/vhost-iotlb.js';

const PAGE = 4096;
/** IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_HWPT_ALLOC_PASID. */
const NEST_PARENT = 1;
const HWPT_PASID = 8;
/** IOASID_KIND_NESTED. */
const NESTED = 1;
const VHOST_SET_OWNER = 0xaf01;
const VHOST_SET_BACKEND_FEATURES = 0x4008af25;
/** VHOST_BACKEND_F_IOTLB_ASID, as a bit. */
const IOTLB_ASID = 1 << 3;
/** Version 2, read and write. */
const IOTLB_UPDATE = { type: 2, iotlb_type: 2, perm: 3 };

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const [, declared = '', others = ''] = read('docs/limits.md').split(/^## /m);

/** The rows of a table, without its head. */
function rowsOf(section: string): string[][] {
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** What the option of a row sets, and its default. */
const options = new Map<string, readonly [keyof MachineOptions, number]>([
  ['`--pasid-quota`', ['pasidQuota', DEFAULT_PASID_QUOTA]],
  ['`--mapping-quota`', ['mappingQuota', DEFAULT_MAPPING_QUOTA]],
  ['`--object-quota`', ['objectQuota', DEFAULT_OBJECT_QUOTA]],
  ['`--table-quota`', ['tableQuota', DEFAULT_TABLE_QUOTA]],
]);

/** A program that takes one more of what a row is about with each call. */
type Taker = (program: InProcess, device: string) => () => unknown;

function bound(program: InProcess, name: string) {
  const iommufd = Iommufd.open(program);
  const device = VfioDeviceFile.open(program, name);
  return { iommufd, device, id: device.bind(iommufd), ioas: iommufd.ioasAlloc() };
}

/** By quantity: the taker, and how many of the row's things one call takes. */
const takers = new Map<string, readonly [Taker, number]>([
  [
    'PASIDs',
    [
      (program) => {
        const ioasid = Ioasid.open(program);
        return () => ioasid.alloc();
      },
      1,
    ],
  ],
  [
    'PASIDs attached to a mediated device',
    [
      (program, name) => {
        const { iommufd, device, id, ioas } = bound(program, name);
        const hwpt = iommufd.hwptAlloc(id, ioas, HWPT_PASID);
        let pasid = 0;
        return () => device.attach(hwpt, ++pasid);
      },
      1,
    ],
  ],
  [
    'mappings of all PASIDs',
    [
      (program) => {
        const ioasid = Ioasid.open(program);
        const { address } = program.allocate(PAGE);
        const pasids = [ioasid.alloc(), ioasid.alloc()];
        let n = 0;
        return () => ioasid.map(pasids[n++ % 2]!, address, PAGE);
      },
      1,
    ],
  ],
  [
    'mappings of all IOAS',
    [
      (program) => {
        const iommufd = Iommufd.open(program);
        const { address } = program.allocate(PAGE);
        const ioas = [iommufd.ioasAlloc(), iommufd.ioasAlloc()];
        let n = 0;
        return () => iommufd.map(ioas[n++ % 2]!, address, PAGE);
      },
      1,
    ],
  ],
  [
    'mappings of all ASIDs',
    [
      (program, name) => {
        const fd = program.open(name.replace('vfio', 'vhost-vdpa-'));
        const { address } = program.allocate(PAGE);
        program.ioctl(fd, VHOST_SET_OWNER, new Uint8Array());
        program.ioctl(fd, VHOST_SET_BACKEND_FEATURES, Uint8Array.of(IOTLB_ASID, 0, 0, 0, 0, 0, 0, 0));
        let n = 0;
        const update = () => ({ asid: n & 1, iova: n++ * PAGE, size: PAGE, uaddr: address });
        return () => program.write(fd, MessageStruct.encode({ ...IOTLB_UPDATE, ...update() }));
      },
      1,
    ],
  ],
  [
    'objects',
    [
      (program) => {
        const iommufd = Iommufd.open(program);
        return () => iommufd.ioasAlloc();
      },
      1,
    ],
  ],
  [
    "pages for nested PASIDs' caches",
    [
      (program) => {
        const ioasid = Ioasid.open(program);
        const parent = ioasid.alloc();
        return () => ioasid.bindPageTable(ioasid.alloc(NESTED, parent), { root: 0 });
      },
      16,
    ],
  ],
  [
    "pages for nested tables' caches",
    [
      (program, name) => {
        const { iommufd, id, ioas } = bound(program, name);
        const parent = iommufd.hwptAlloc(id, ioas, NEST_PARENT);
        return () => allocVtdS1(iommufd, id, parent, { root: 0 });
      },
      16,
    ],
  ],
]);

for (const [quantity = '', , limit = '', option = '', errno = '', sentence = ''] of rowsOf(declared)) {
  test(`limit: ${quantity}: ${errno} at what ${option} says, and another program has as many`, async () => {
    const [name, usual] = options.get(option)!;
    assert.equal(Number(limit.replaceAll(',', '')), usual, 'the default');
    const [taker, cost] = takers.get(quantity)!;
    const most = 5 * cost;
    const machine = await Machine.create({
      devices: ['dsa,mdevs=2', 'virtio-net', 'virtio-net'],
      [name]: most,
    });
    for (const device of ['vfio0', 'vfio1']) {
      const take = taker(new InProcess(machine), device);
      for (let n = 0; n < 5; n++) take();
      const refused = refusal(take);
      assert.equal(`\`${refused?.code}\``, errno);
      assert.equal(refused?.reason, sentence.replace('N', String(most)));
    }
  });
}

test('each limit without an option has a test, under the name that docs/limits.md gives it', () => {
  const rows = rowsOf(others);
  assert.ok(rows.length > 10);
  for (const row of rows) {
    const names = namesIn(row.at(-1)!);
    const tests = names.filter(({ kind }) => kind === 'test');
    assert.ok(tests.length > 0, row[0]);
    for (const { file, name } of tests)
      assert.ok(
        testsOf(read(file)).some((each) => each.test(name)),
        `${name} in ${file}`,
      );
  }
});

test("an open file keeps the last refusal, and no other file's", async () => {
  const program = new InProcess(await Machine.create({ devices: ['edu'] }));
  const [one, other] = [Ioasid.open(program), Ioasid.open(program)];
  for (const [file, pasid] of [
    [one, 7],
    [other, 8],
    [one, 9],
  ] as const)
    refusal(() => file.free(pasid));
  const kept = [one, other].map(({ fd }) => {
    const ask = (at: number, cmd: number, data: Uint8Array) => program.ioctl(at, cmd, data);
    return explained(ask, fd, Errno.ENOENT, 'none').reason;
  });
  assert.deepEqual(kept, ['PASID 9 is not in this context', 'PASID 8 is not in this context']);
});
