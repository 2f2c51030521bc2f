/** Nested page tables in the format of Intel VT-d, as a program sees them through the client. */
import assert from 'node:assert/strict';
import { Iommufd } from '../client/iommufd.js';
import type { MemoryFile, Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { allocVtdS1, invalidateVtdS1 } from '../client/vtd.js';
import { refused } from '../testkit/refused.js';
import { HW_CAP_PCI_PASID_MODES } from '../uapi/iommufd/hw-info.js';
import { HW_INFO_VTD, HwInfoVtdStruct, VTD_S1_EAFE, VTD_S1_SRE, VTD_S1_WPE } from '../uapi/iommufd/vtd.js';
import { getBig, setBig } from '../uapi/struct.js';
import { CHECKSUM_OF_ONES, Checksum, DATA_IOVA, DONE, FAULT, JOB_IOVA } from './checksum.js';
import { PAGE, rulesOf } from './rule.js';

const NO_PASID = 0;
/** IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_HWPT_ALLOC_PASID. */
const NEST_PARENT = 1;
const HWPT_PASID = 8;
/** IOMMU_HWPT_ALLOC_DIRTY_TRACKING. */
const DIRTY_TRACKING = 2;

/** Where the parent has the job and data of the checksum device, and the four tables of the first stage. */
const JOB = 0x4000_0000;
const DATA = 0x5000_0000;
const TABLES = 0x6000_0000;
const [PRESENT, WRITABLE, USER, ACCESSED, DIRTY, EXTENDED_ACCESSED] = [1n, 2n, 4n, 32n, 64n, 1024n];
const USABLE = PRESENT | WRITABLE | USER;

/** A bound checksum device whose job and data are where only a first stage in `tables` finds them. */
class Nested {
  readonly iommufd: Iommufd;
  readonly checksum: Checksum;
  readonly device: VfioDeviceFile;
  readonly tables: MemoryFile;
  readonly ioas: number;
  readonly id: number;
  readonly parent: number;
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.iommufd = Iommufd.open(transport);
    this.checksum = new Checksum(transport);
    this.device = this.checksum.device;
    this.tables = transport.createMemfd(4 * PAGE);
    this.ioas = this.iommufd.ioasAlloc();
    this.iommufd.mapFile(this.ioas, this.checksum.file.fd, 0, PAGE, { iova: JOB });
    this.mapData();
    this.iommufd.mapFile(this.ioas, this.tables.fd, 0, 4 * PAGE, { iova: TABLES });
    this.id = this.device.bind(this.iommufd);
    this.parent = this.iommufd.hwptAlloc(this.id, this.ioas, NEST_PARENT | HWPT_PASID);
    for (let table = 0; table < 3; table++) this.set(table, 0, BigInt(TABLES + (table + 1) * PAGE) | USABLE);
    // Job and data are in different 2 MiB, and one table of the last level serves both.
    this.set(2, 1, BigInt(TABLES + 3 * PAGE) | USABLE);
    this.setPage(JOB_IOVA, BigInt(JOB) | USABLE);
    this.setPage(DATA_IOVA, BigInt(DATA) | USABLE);
  }

  mapData(): void {
    this.iommufd.mapFile(this.ioas, this.checksum.file.fd, PAGE, PAGE, { iova: DATA });
  }

  set(table: number, index: number, entry: bigint): void {
    const bytes = new Uint8Array(8);
    setBig(bytes, 0, entry);
    this.tables.write(table * PAGE + index * 8, bytes);
  }

  /** The entry of the last level for `iova`. */
  setPage(iova: number, entry: bigint): void {
    this.set(3, (iova / PAGE) % 512, entry);
  }

  page(iova: number): bigint {
    return getBig(this.tables.read(3 * PAGE + ((iova / PAGE) % 512) * 8, 8), 0);
  }

  /** The table, as an HWPT. */
  alloc(flags = 0, addressWidth = 48, hwptFlags = HWPT_PASID): number {
    return allocVtdS1(this.iommufd, this.id, this.parent, { root: TABLES, flags, addressWidth }, hwptFlags);
  }

  run(
    pasid = NO_PASID,
    iova = DATA_IOVA,
  ): { status: number; checksum: number; faultIova: number } | undefined {
    return this.checksum.run(pasid, iova);
  }

  close(): void {
    this.iommufd.close();
    this.checksum.close();
    this.#transport.close(this.tables.fd);
  }
}

const rule = rulesOf('nested');

rule(
  'a device behind a nested table reaches what both stages map, by the addresses of the first',
  (transport) => {
    const nested = new Nested(transport);
    assert.equal(nested.device.attach(nested.alloc()), nested.parent + 1);
    assert.deepEqual(nested.run(), { status: DONE, checksum: CHECKSUM_OF_ONES, faultIova: 0 });
    assert.deepEqual(
      nested.run(NO_PASID, DATA),
      { status: FAULT, checksum: 0, faultIova: DATA },
      'an address of the second stage is none',
    );
    nested.device.attach(nested.parent);
    assert.equal(nested.run(), undefined, 'nor one of the first, without it');
    nested.close();
  },
);

rule(
  'dirty tracking of the parent has what devices write through a nested table, and what the walk marks',
  (transport) => {
    const nested = new Nested(transport);
    const { iommufd, id, ioas } = nested;
    const parent = iommufd.hwptAlloc(id, ioas, NEST_PARENT | HWPT_PASID | DIRTY_TRACKING);
    nested.device.attach(
      allocVtdS1(iommufd, id, parent, { root: TABLES, flags: 0, addressWidth: 48 }, HWPT_PASID),
      5,
    );
    iommufd.setDirtyTracking(parent, true);
    const dirty = (at: number, pages: number) =>
      iommufd.dirtyPages(parent, at, pages * PAGE).map((iova) => (Number(iova) - at) / PAGE);
    assert.equal(nested.run(5)?.status, DONE);
    assert.deepEqual([dirty(JOB, 1), dirty(DATA, 1), dirty(TABLES, 4)], [[0], [], [0, 1, 2, 3]]);
    assert.equal(nested.run(5)?.status, DONE);
    assert.deepEqual(
      [dirty(JOB, 1), dirty(DATA, 1), dirty(TABLES, 4)],
      [[0], [], []],
      'entries are marked once',
    );
    nested.close();
  },
);

rule(
  'what was read is marked as accessed in the table, what was written as dirty; in bit 10 too if wanted',
  (transport) => {
    const nested = new Nested(transport);
    const marked = (flags: number) => {
      nested.setPage(JOB_IOVA, BigInt(JOB) | USABLE);
      nested.setPage(DATA_IOVA, BigInt(DATA) | USABLE);
      nested.device.attach(nested.alloc(flags));
      assert.equal(nested.run()?.status, DONE);
      return [nested.page(JOB_IOVA) - BigInt(JOB) - USABLE, nested.page(DATA_IOVA) - BigInt(DATA) - USABLE];
    };
    assert.deepEqual(marked(0), [ACCESSED | DIRTY, ACCESSED]);
    assert.deepEqual(marked(VTD_S1_EAFE), [
      ACCESSED | DIRTY | EXTENDED_ACCESSED,
      ACCESSED | EXTENDED_ACCESSED,
    ]);
    nested.close();
  },
);

rule('a change of the table holds when it has been invalidated: by page, all at once', (transport) => {
  const nested = new Nested(transport);
  const hwpt = nested.alloc();
  nested.device.attach(hwpt);
  assert.equal(nested.run()?.status, DONE);
  nested.setPage(DATA_IOVA, 0n);
  invalidateVtdS1(nested.iommufd, hwpt, [{ iova: DATA_IOVA, pages: 1, leaf: true }]);
  assert.equal(nested.run()?.status, FAULT);
  nested.setPage(DATA_IOVA, BigInt(DATA) | USABLE);
  assert.equal(nested.run()?.status, DONE, 'that nothing was there is not remembered');
  nested.set(2, 0, 0n);
  invalidateVtdS1(nested.iommufd, hwpt, [{ iova: 0, pages: 2n ** 64n - 1n }]);
  assert.equal(nested.run(), undefined);
  invalidateVtdS1(nested.iommufd, hwpt, []);
  nested.close();
});

rule('what was changed while no device was attached needs no invalidation', (transport) => {
  const nested = new Nested(transport);
  const hwpt = nested.alloc();
  nested.device.attach(hwpt);
  assert.equal(nested.run()?.status, DONE);
  nested.device.detach();
  nested.setPage(DATA_IOVA, 0n);
  nested.device.attach(hwpt);
  assert.equal(nested.run()?.status, FAULT);
  nested.close();
});

rule(
  'what is unmapped from the IOAS is out of reach of the very next DMA, a table of the first stage too',
  (transport) => {
    const nested = new Nested(transport);
    nested.device.attach(nested.alloc());
    assert.equal(nested.run()?.status, DONE);
    nested.iommufd.unmap(nested.ioas, DATA, PAGE);
    assert.deepEqual(nested.run(), { status: FAULT, checksum: 0, faultIova: DATA_IOVA });
    nested.mapData();
    assert.equal(nested.run()?.status, DONE);
    nested.iommufd.unmap(nested.ioas, TABLES, 4 * PAGE);
    assert.equal(nested.run(), undefined);
    nested.close();
  },
);

rule(
  'each PASID may have a nested table of its own, and requests without PASID another or none',
  (transport) => {
    const nested = new Nested(transport);
    const hwpt = nested.alloc();
    refused(() => nested.device.attach(nested.alloc(0, 48, 0), 5), 'EINVAL', /not allocated for PASIDs/);
    nested.device.attach(hwpt, 5);
    assert.deepEqual(
      [5, 6, NO_PASID].map((pasid) => nested.run(pasid)?.status),
      [DONE, undefined, undefined],
    );
    nested.device.attach(nested.parent, 5);
    assert.equal(nested.run(5), undefined);
    nested.close();
  },
);

rule('a nested table has a parent that was allocated as one, and is in the format of VT-d', (transport) => {
  const nested = new Nested(transport);
  const { iommufd, id, parent } = nested;
  const plain = iommufd.hwptAlloc(id, nested.ioas);
  refused(() => allocVtdS1(iommufd, id, plain, { root: TABLES }), 'EINVAL', /not allocated as a parent/);
  refused(() => allocVtdS1(iommufd, id, nested.ioas, { root: TABLES }), 'EOPNOTSUPP', /format/);
  refused(() => iommufd.hwptAlloc(id, parent), 'EOPNOTSUPP', /data/);
  refused(
    () => iommufd.hwptAlloc(id, parent, 0, { type: 2, bytes: new Uint8Array(24) }),
    'EOPNOTSUPP',
    /VT-d/,
  );
  refused(
    () => iommufd.hwptAlloc(id, parent, 0, { type: 1, bytes: new Uint8Array(16) }),
    'EINVAL',
    /24 bytes/,
  );
  refused(() => allocVtdS1(iommufd, id, parent, { root: TABLES }, NEST_PARENT), 'EOPNOTSUPP', /flags/);
  nested.close();
});

rule(
  'what a table is like is looked at when a device is attached: the width of its addresses',
  (transport) => {
    const nested = new Nested(transport);
    nested.device.attach(nested.parent);
    for (const width of [0, 39, 57])
      refused(() => nested.device.attach(nested.alloc(0, width)), 'EINVAL', new RegExp(`${width} bits`));
    nested.device.attach(nested.alloc(VTD_S1_SRE | VTD_S1_WPE | VTD_S1_EAFE));
    assert.equal(nested.run()?.status, DONE);
    nested.close();
  },
);

rule('a bad invalidation is refused, and those before it have been done', (transport) => {
  const nested = new Nested(transport);
  const hwpt = nested.alloc();
  nested.device.attach(hwpt);
  assert.equal(nested.run()?.status, DONE);
  const good = { iova: DATA_IOVA, pages: 1 };
  for (const [bad, code] of [
    [{ iova: 8, pages: 1 }, 'EINVAL'],
    [{ iova: PAGE, pages: 2n ** 64n - 1n }, 'EINVAL'],
    [{ iova: 0, pages: 1, reserved: 1 }, 'EOPNOTSUPP'],
  ] as const) {
    nested.setPage(DATA_IOVA, 0n);
    refused(() => invalidateVtdS1(nested.iommufd, hwpt, [good, bad]), code);
    assert.equal(nested.run()?.status, FAULT);
    nested.setPage(DATA_IOVA, BigInt(DATA) | USABLE);
    assert.equal(nested.run()?.status, DONE);
  }
  refused(() => nested.iommufd.hwptInvalidate(hwpt, 1, 24, new Uint8Array(24)), 'EINVAL', /type/);
  refused(() => nested.iommufd.hwptInvalidate(hwpt, 0, 16, new Uint8Array(16)), 'EINVAL', /24 bytes/);
  refused(() => invalidateVtdS1(nested.iommufd, nested.parent, [good]), 'EINVAL', /caches nothing/);
  nested.close();
});

rule(
  'the parent of a nested table, and one that a device is attached to, cannot be destroyed',
  (transport) => {
    const nested = new Nested(transport);
    const hwpt = nested.alloc();
    nested.device.attach(hwpt);
    refused(() => nested.iommufd.destroy(nested.parent), 'EBUSY', /in use/);
    refused(() => nested.iommufd.destroy(hwpt), 'EBUSY', /in use/);
    nested.device.detach();
    nested.iommufd.destroy(hwpt);
    nested.iommufd.destroy(nested.parent);
    nested.close();
  },
);

rule(
  'a device without PASIDs is attached to one as well; its IOMMU says that it has nested translation',
  (transport) => {
    const nested = new Nested(transport);
    const edu = VfioDeviceFile.open(transport, 'vfio3');
    const id = edu.bind(nested.iommufd);
    const { type, data } = nested.iommufd.hwInfo(id);
    assert.equal(type, HW_INFO_VTD);
    assert.equal(data.length, HwInfoVtdStruct.size);
    const { ecap_reg } = HwInfoVtdStruct.decode(data);
    for (const bit of [26n, 43n, 46n, 47n]) assert.ok(ecap_reg & (1n << bit), `ecap bit ${bit}`);
    edu.attach(nested.alloc());
    edu.close();
    nested.close();
  },
);

rule(
  'the PASIDs of a device are told to be of privileged requests where its capability says so',
  (transport) => {
    const iommufd = Iommufd.open(transport);
    const modes = (path: string) => {
      const file = VfioDeviceFile.open(transport, path);
      const { capabilities } = iommufd.hwInfo(file.bind(iommufd));
      file.close();
      return Number(capabilities) & HW_CAP_PCI_PASID_MODES;
    };
    assert.deepEqual(
      ['vfio3', 'vfio4'].map(modes),
      [0, HW_CAP_PCI_PASID_MODES],
      'edu has no PASIDs, dsa has the capability with both bits',
    );
    iommufd.close();
  },
);
