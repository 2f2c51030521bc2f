/**
 * The generator: fast-check arbitraries for sequences of ioctls on `/dev/iommu` with its test interface.
 *
 * A sequence is a list of steps. A step is a function of the scene, chosen with all its numbers by fast-check, that adds one call (with what the
 * call needs) to it. Most steps act on what the scene has; a few numbers, flags, sizes and pointers are wrong on purpose.
 *
 * IOVAs that the kernel picks depend on its largest page size, so memory for such mappings begins at an odd page: then
 * no alignment larger than a page can come of it, and every kernel picks alike.
 */
import fc from 'fast-check';
import { address, descriptor, type IoctlLine, number, plain, type Sequence, saved, type Value } from './language.js';
import { fieldsOf, withField } from './layouts.js';
import { type Device, MEMORY_BYTES, packed, Scene } from './scene.js';

type Step = (scene: Scene) => void;
type Spoil = (line: IoctlLine) => IoctlLine;

export const MAX_STEPS = 30;
const PAGE = 4096n;
const FIXED = 1;
const DIRTY_TRACKING = 2;
const APERTURE_START = 1n << 24n;
const APERTURE_LAST = (1n << 31n) - 1n;
const SELFTEST_DATA = 0xdead;
const SELFTEST_TYPE = 0xdeadbeef;
const SELFTEST_EVENTS = 0xbeefbeef;

const which = fc.nat(15);

/** Numbers at which something begins or ends. */
const edges64 = fc.constantFrom(
  0n,
  1n,
  0x7ffn,
  0x800n,
  0xfffn,
  PAGE,
  PAGE + 1n,
  2n * PAGE,
  APERTURE_START - 1n,
  APERTURE_START,
  APERTURE_LAST,
  APERTURE_LAST + 1n,
  1n << 40n,
  (1n << 56n) - 1n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - PAGE,
  (1n << 64n) - 2n,
  (1n << 64n) - 1n,
);
const edges32 = fc.constantFrom(0, 1, 2, 3, 4, 7, 8, 0xff, 0x1000, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff);

/** Now and then `bad`, mostly `good`. */
const mostly = <T>(good: fc.Arbitrary<T>, bad: fc.Arbitrary<T>, weight = 12) =>
  fc.oneof({ arbitrary: good, weight }, { arbitrary: bad, weight: 1 });

const oneIn = (n: number) => mostly(fc.constant(false), fc.constant(true), n - 1);

const pages = fc.integer({ min: 1, max: 8 }).map((count) => BigInt(count) * PAGE);
const lengths = mostly(pages, fc.constantFrom(0n, 1n, 0x800n, 0x1800n, 1n << 40n, (1n << 64n) - 1n));
/** IOVAs close to each other, so that ranges meet; most of them inside the aperture of a mock device. */
const iovas = mostly(
  fc.oneof(
    { arbitrary: fc.nat(24).map((page) => 2n * APERTURE_START + BigInt(page) * PAGE), weight: 8 },
    { arbitrary: fc.nat(8).map((page) => BigInt(page) * PAGE), weight: 1 },
    { arbitrary: fc.nat(6).map((half) => 2n * APERTURE_START + BigInt(half) * 0x800n), weight: 1 },
    { arbitrary: fc.nat(4).map((page) => APERTURE_LAST + 1n - BigInt(page) * PAGE), weight: 1 },
  ),
  edges64,
);
const rights = mostly(fc.constantFrom(6, 6, 6, 4, 2), fc.constantFrom(0, 8, 0x10000, 0x80000006));
const memoryPage = fc.nat(Number(BigInt(MEMORY_BYTES) / PAGE) - 1).map((page) => BigInt(page) * PAGE);
const oddMemoryPage = fc.nat(15).map((n) => BigInt(n) * 2n * PAGE);
const inPage = mostly(fc.constant(0n), fc.constantFrom(0x10n, 0x800n, 0xfffn), 8);

/** An id of the right kind, mostly. */
const wrongId = oneIn(25);
const chosen = (scene: Scene, wrong: boolean, n: number, right: Value): Value => (wrong ? scene.anyId(n) : right);

// --- IOAS ---

const ioasAlloc: fc.Arbitrary<Step> = mostly(fc.constant(0), edges32, 20).map((flags) => (scene) => allocateIoas(scene, flags));

const ioasMap: fc.Arbitrary<Step> = fc
  .record({
    which,
    wrong: wrongId,
    rights,
    fixed: fc.boolean(),
    page: memoryPage,
    odd: oddMemoryPage,
    inPage,
    length: lengths,
    iova: iovas,
    hole: oneIn(30),
  })
  .map(({ which, wrong, rights, fixed, page, odd, inPage, length, iova, hole }) => (scene) => {
    const ioas = scene.pick(scene.ioases, which);
    const memory = hole ? address('b', BigInt(MEMORY_BYTES) - PAGE) : address('b', (fixed ? page : odd) + inPage);
    const name = scene.name('iova');
    scene.call(
      'IOAS_MAP',
      {
        flags: rights | (fixed ? FIXED : 0),
        ioas_id: chosen(scene, wrong, which, scene.id(ioas)),
        user_va: memory,
        length,
        iova: fixed ? iova : 0n,
      },
      fixed ? {} : { saves: { [name]: 'iova' } },
    );
    if (ioas !== undefined) scene.mappings.push({ ioas, iova: fixed ? number(iova) : saved(name), length, memory });
  });

const ioasMapFile: fc.Arbitrary<Step> = fc
  .record({
    which,
    rights,
    fixed: fc.boolean(),
    page: memoryPage,
    odd: oddMemoryPage,
    inPage,
    length: lengths,
    iova: iovas,
    badFd: oneIn(12),
  })
  .map(({ which, rights, fixed, page, odd, inPage, length, iova, badFd }) => (scene) => {
    const ioas = scene.pick(scene.ioases, which);
    const name = scene.name('iova');
    const fd = badFd ? (which % 2 === 0 ? number(-1) : descriptor('f')) : descriptor('m');
    const start = (fixed ? page : odd + PAGE) + inPage;
    scene.call(
      'IOAS_MAP_FILE',
      { flags: rights | (fixed ? FIXED : 0), ioas_id: scene.id(ioas), fd, start, length, iova: fixed ? iova : 0n },
      fixed ? {} : { saves: { [name]: 'iova' } },
    );
    if (ioas !== undefined) scene.mappings.push({ ioas, iova: fixed ? number(iova) : saved(name), length, memory: undefined });
  });

const ioasUnmap: fc.Arbitrary<Step> = fc
  .record({ which, known: fc.boolean(), iova: iovas, length: lengths, all: oneIn(8), part: oneIn(6) })
  .map(({ which, known, iova, length, all, part }) => (scene) => {
    const mapping = scene.pick(scene.mappings, which);
    if (all) scene.call('IOAS_UNMAP', { ioas_id: scene.id(scene.pick(scene.ioases, which)), iova: 0n, length: (1n << 64n) - 1n });
    else if (known && mapping !== undefined)
      scene.call('IOAS_UNMAP', { ioas_id: scene.id(mapping.ioas), iova: mapping.iova, length: part ? length : mapping.length });
    else scene.call('IOAS_UNMAP', { ioas_id: scene.id(scene.pick(scene.ioases, which)), iova, length: length * 4n });
  });

const ioasCopy: fc.Arbitrary<Step> = fc
  .record({
    which,
    to: which,
    wrong: wrongId,
    rights,
    fixed: mostly(fc.constant(true), fc.constant(false), 3),
    iova: iovas,
    source: iovas,
    length: lengths,
    skip: mostly(fc.constant(0n), fc.constantFrom(PAGE, 0x800n), 5),
  })
  .map(({ which, to, wrong, rights, fixed, iova, source, length, skip }) => (scene) => {
    const mapping = scene.pick(scene.mappings, which);
    const ioas = scene.pick(scene.ioases, to);
    const whole = mapping !== undefined && skip === 0n;
    // One page needs no more than a page of alignment, wherever it comes from.
    const bytes = !fixed ? PAGE : whole ? mapping.length : length;
    const name = scene.name('iova');
    scene.call(
      'IOAS_COPY',
      {
        flags: rights | (fixed ? FIXED : 0),
        dst_ioas_id: scene.id(ioas),
        src_ioas_id: chosen(scene, wrong, which, scene.id(mapping?.ioas ?? scene.pick(scene.ioases, which))),
        length: bytes,
        dst_iova: fixed ? iova : 0n,
        src_iova: mapping === undefined ? source : added(mapping.iova, skip),
      },
      fixed ? {} : { saves: { [name]: 'dst_iova' } },
    );
    if (ioas === undefined || mapping === undefined) return;
    const memory = mapping.memory && added(mapping.memory, skip);
    scene.mappings.push({ ioas, iova: fixed ? number(iova) : saved(name), length: bytes, memory });
  });

const iovaRanges: fc.Arbitrary<Step> = fc
  .record({ which, wrong: wrongId, room: mostly(fc.constant(16), fc.constantFrom(0, 1, 2)), far: oneIn(20) })
  .map(({ which, wrong, room, far }) => (scene) => {
    const ioas_id = chosen(scene, wrong, which, scene.id(scene.pick(scene.ioases, which)));
    const allowed_iovas = address('s', far ? 0xff8 : 0);
    scene.call('IOAS_IOVA_RANGES', { ioas_id, num_iovas: room, allowed_iovas }, { watches: ['s'] });
  });

const rangeList = fc.array(fc.tuple(mostly(iovas, edges64), mostly(pages, edges64)), { maxLength: 3 });

const allowIovas: fc.Arbitrary<Step> = fc
  .record({ which, ranges: rangeList, extra: mostly(fc.constant(0), fc.constantFrom(1, 4096), 20) })
  .map(({ which, ranges, extra }) => (scene) => {
    const wide = ranges.flatMap(([start, length]) => [start, start + 8n * length - 1n]);
    const allowed_iovas = scene.scratch(packed(8, ...wide));
    scene.call('IOAS_ALLOW_IOVAS', { ioas_id: scene.id(scene.pick(scene.ioases, which)), num_iovas: ranges.length + extra, allowed_iovas });
  });

const option: fc.Arbitrary<Step> = fc
  .record({
    which,
    option_id: mostly(fc.constantFrom(0, 1, 1, 1), edges32),
    op: mostly(fc.constantFrom(0, 1), edges32),
    val64: mostly(fc.constantFrom(0n, 1n), edges64),
    global: oneIn(4),
  })
  .map(({ which, option_id, op, val64, global }) => (scene) => {
    const object_id = global || option_id === 0 ? number(0) : scene.id(scene.pick(scene.ioases, which));
    scene.call('OPTION', { option_id, op, val64, object_id });
  });

const destroy: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  const devices = scene.devices.map(({ stdev }) => stdev);
  const targets = [...scene.ioases, ...scene.hwpts, ...scene.nested, ...scene.viommus, ...scene.others, ...devices];
  const name = scene.pick(targets, which);
  if (name !== undefined && devices.includes(name)) scene.detachPasids();
  scene.call('DESTROY', { id: scene.id(name) });
  if (name !== undefined) scene.forget(name);
});

const destroyAny: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  scene.detachPasids();
  scene.call('DESTROY', { id: scene.anyId(which) });
});

const changeProcess: fc.Arbitrary<Step> = fc.constant((scene) => scene.call('IOAS_CHANGE_PROCESS', {}));

// --- Devices and page tables ---

const mockDevice: fc.Arbitrary<Step> = fc
  .record({ which, flags: fc.constantFrom(undefined, undefined, 0, 1, 4, 4), onTable: oneIn(5), wrong: wrongId })
  .map(({ which, flags, onTable, wrong }) => (scene) => {
    const right = onTable ? scene.pageTable(which) : scene.id(scene.pick(scene.ioases, which));
    addDevice(scene, chosen(scene, wrong, which, right), flags);
  });

const mockReplace: fc.Arbitrary<Step> = fc.record({ which, to: which, wrong: wrongId }).map(({ which, to, wrong }) => (scene) => {
  const device = scene.pick(scene.devices, which);
  const pt_id = wrong ? scene.anyId(to) : scene.pageTable(to);
  const name = scene.name('auto');
  scene.call('TEST_MOCK_DOMAIN_REPLACE', { id: scene.id(device?.stdev), pt_id }, { saves: { [name]: 'pt_id' } });
  if (device !== undefined) scene.devices[scene.devices.indexOf(device)] = { ...device, hwpt: name };
});

const hwptAlloc: fc.Arbitrary<Step> = fc
  .record({
    which,
    to: which,
    wrong: wrongId,
    flags: mostly(fc.constantFrom(0, 0, 1, 1, 2, 2, 3, 8, 8), edges32),
    data: oneIn(6),
    type: fc.constantFrom(0, 0, 1, 2),
  })
  .map(({ which, to, wrong, flags, data, type }) => (scene) => {
    allocateHwpt(scene, {
      flags,
      dev_id: scene.id(scene.pick(scene.devices, which)?.idev),
      pt_id: chosen(scene, wrong, to, scene.id(scene.pick(scene.ioases, to))),
      ...(data && { data_type: SELFTEST_DATA, data_len: 8, data_uptr: scene.scratch(packed(4, 0, type), 0x800) }),
    });
  });

const nestedAlloc: fc.Arbitrary<Step> = fc
  .record({
    which,
    to: which,
    flags: mostly(fc.constantFrom(0, 0, 0, 8), edges32),
    data_type: mostly(fc.constant(SELFTEST_DATA), edges32),
    data_len: mostly(fc.constantFrom(4, 8), fc.constantFrom(0, 2, 12, 4096)),
    onViommu: fc.boolean(),
  })
  .map(({ which, to, flags, data_type, data_len, onViommu }) => (scene) => {
    const name = scene.name('nested');
    scene.call(
      'HWPT_ALLOC',
      {
        flags,
        dev_id: scene.id(scene.pick(scene.devices, which)?.idev),
        pt_id: scene.id(scene.pick(onViommu && scene.viommus.length > 0 ? scene.viommus : scene.hwpts, to)),
        data_type,
        data_len,
        data_uptr: scene.scratch(packed(4, 0x1234, 0), 0x800),
      },
      { saves: { [name]: 'out_hwpt_id' } },
    );
    scene.nested.push(name);
  });

const invalidate: fc.Arbitrary<Step> = fc
  .record({
    which,
    data_type: mostly(fc.constant(SELFTEST_TYPE), edges32),
    entries: fc.array(fc.tuple(fc.constantFrom(0, 1, 2), fc.nat(5)), { maxLength: 4 }),
    entry_len: mostly(fc.constant(8), fc.constantFrom(0, 4, 12, 4096, 4097)),
    cache: fc.nat(4),
  })
  .map(({ which, data_type, entries, entry_len, cache }) => (scene) => {
    const hwpt_id = scene.id(scene.pick([...scene.nested, ...scene.hwpts], which));
    const data_uptr = scene.scratch(packed(4, ...entries.flat()), 0x800);
    scene.call('HWPT_INVALIDATE', { hwpt_id, data_uptr, data_type, entry_len, entry_num: entries.length });
    scene.call('TEST_MD_CHECK_IOTLB', { id: hwpt_id, iotlb_id: cache, iotlb: which % 2 === 0 ? 0 : 0x1234 });
  });

const hwInfo: fc.Arbitrary<Step> = fc
  .record({
    which,
    wrong: wrongId,
    flags: mostly(fc.constantFrom(0, 0, 1), edges32),
    data_len: fc.constantFrom(0, 4, 8, 16, 64),
    type: mostly(fc.constantFrom(0, 0xfeedbeef), edges32),
    null: oneIn(10),
  })
  .map(({ which, wrong, flags, data_len, type, null: none }) => (scene) => {
    const dev_id = chosen(scene, wrong, which, scene.id(scene.pick(scene.devices, which)?.idev));
    const data_uptr = none ? number(0) : scene.scratch('ff'.repeat(64));
    scene.call('GET_HW_INFO', { flags, dev_id, data_len, data_uptr, data_type: flags === 0 ? 0 : type }, { watches: ['s'] });
  });

const setDirty: fc.Arbitrary<Step> = fc
  .record({ which, flags: mostly(fc.constantFrom(1, 1, 0), edges32) })
  .map(({ which, flags }) => (scene) => {
    scene.call('HWPT_SET_DIRTY_TRACKING', { hwpt_id: scene.id(scene.pick(scene.hwpts, which)), flags });
  });

const pageSizes = mostly(fc.constantFrom(0x800n, 0x800n, PAGE), fc.constantFrom(0n, 1n, 0x1800n, 0x2000n, 1n << 21n));

const dirty: fc.Arbitrary<Step> = fc
  .record({ which, mapping: which, page_size: pageSizes, bits: fc.array(fc.nat(255), { minLength: 2, maxLength: 2 }) })
  .map(({ which, mapping, page_size, bits }) => (scene) => {
    const at = scene.pick(scene.mappings, mapping);
    const id = scene.id(scene.pick(scene.hwpts, which));
    const uptr = scene.scratch(packed(1, ...bits), 0xc00);
    const length = at === undefined || at.length > 0x10000n ? 4n * PAGE : at.length;
    scene.call('TEST_DIRTY', { id, iova: at?.iova ?? 2n * APERTURE_START, length, page_size, uptr });
  });

const dirtyBitmap: fc.Arbitrary<Step> = fc
  .record({
    which,
    mapping: which,
    flags: mostly(fc.constantFrom(0, 1), edges32),
    page_size: pageSizes,
    iova: iovas,
    length: lengths,
    known: mostly(fc.constant(true), fc.constant(false), 5),
  })
  .map(({ which, mapping, flags, page_size, iova, length, known }) => (scene) => {
    const at = known ? scene.pick(scene.mappings, mapping) : undefined;
    scene.add(plain('fill', 's', 0xe00, '00'.repeat(64)));
    scene.call(
      'HWPT_GET_DIRTY_BITMAP',
      {
        hwpt_id: scene.id(scene.pick(scene.hwpts, which)),
        flags,
        iova: at?.iova ?? iova,
        length: at?.length ?? length,
        page_size,
        data: address('s', 0xe00),
      },
      { watches: ['s'] },
    );
  });

const checkMap: fc.Arbitrary<Step> = fc
  .record({
    which,
    table: which,
    shift: mostly(fc.constant(0n), fc.constantFrom(0x800n, PAGE)),
    length: fc.constantFrom(0x800n, PAGE, 2n * PAGE),
  })
  .map(({ which, table, shift, length }) => (scene) => {
    const tables = [...scene.hwpts, ...scene.devices.map(({ hwpt }) => hwpt)];
    const mapping = scene.pick(scene.mappings, which);
    const uptr = mapping?.memory ?? address('b');
    scene.call('TEST_MD_CHECK_MAP', {
      id: scene.id(scene.pick(tables, table)),
      iova: added(mapping?.iova ?? number(2n * APERTURE_START), shift),
      length,
      uptr: added(uptr, shift),
    });
  });

const checkRefs: fc.Arbitrary<Step> = fc
  .record({ page: memoryPage, length: fc.constantFrom(PAGE, PAGE, 0x800n), refs: fc.constantFrom(0, 0, 1, 1, 2) })
  .map(
    ({ page, length, refs }) =>
      (scene) =>
        scene.call('TEST_MD_CHECK_REFS', { uptr: address('b', page), length, refs }),
  );

const addReserved: fc.Arbitrary<Step> = fc.record({ which, start: iovas, length: lengths }).map(({ which, start, length }) => (scene) => {
  scene.call('TEST_ADD_RESERVED', { id: scene.id(scene.pick(scene.ioases, which)), start, length });
});

// --- PASIDs ---

const pasids = mostly(fc.constantFrom(1, 2, 3, 1024), fc.constantFrom(0, 0xfffff, 0x100000, 0xffffffff));

const pasid: fc.Arbitrary<Step> = fc
  .record({
    which,
    table: which,
    pasid: pasids,
    op: fc.constantFrom('ATTACH', 'ATTACH', 'REPLACE', 'DETACH', 'CHECK'),
    wrong: wrongId,
    none: oneIn(3),
  })
  .map(({ which, table, pasid, op, wrong, none }) => (scene) => {
    const id = scene.id(scene.pick(scene.devices, which)?.stdev);
    const hwpt = table % 3 === 0 ? undefined : scene.pick(scene.hwpts, table);
    const pt_id = wrong ? scene.anyId(table) : hwpt === undefined ? scene.pageTable(table) : saved(hwpt);
    // PASID 0 is the device's own attachment, which detaching would take from the mock device.
    const used = op === 'DETACH' && pasid === 0 ? 1 : pasid;
    if (op === 'DETACH') scene.call('TEST_PASID_DETACH', { id, pasid: scene.usePasid(used) });
    else if (op === 'CHECK') scene.call('TEST_PASID_CHECK_HWPT', { id, pasid, hwpt_id: none ? 0 : pt_id });
    else scene.call(`TEST_PASID_${op}`, { id, pasid: scene.usePasid(used), pt_id }, { saves: { [scene.name('auto')]: 'pt_id' } });
  });

// --- Accesses: what a driver that uses the memory itself (an mdev) does ---

const createAccess: fc.Arbitrary<Step> = fc
  .record({ which, wrong: wrongId, flags: mostly(fc.constantFrom(0, 1, 1), edges32) })
  .map(({ which, wrong, flags }) => (scene) => {
    openAccess(scene, chosen(scene, wrong, which, scene.id(scene.pick(scene.ioases, which))), flags);
  });

const accessPages: fc.Arbitrary<Step> = fc
  .record({
    which,
    mapping: which,
    flags: mostly(fc.constantFrom(0, 1), edges32),
    skip: mostly(fc.constant(0n), fc.constantFrom(1n, 0x800n, PAGE)),
    length: fc.constantFrom(undefined, undefined, 1n, PAGE, 3n * PAGE),
  })
  .map(({ which, mapping, flags, skip, length }) => (scene) => {
    const access = scene.pick(scene.accesses, which);
    const at = scene.pick(scene.mappings, mapping);
    const name = scene.name('pin');
    scene.call(
      'TEST_ACCESS_PAGES',
      {
        id: access === undefined ? number(-1) : descriptor(access),
        flags: flags === 0x10000 ? 2 : flags,
        iova: added(at?.iova ?? number(2n * APERTURE_START), skip),
        length: length ?? smaller(at?.length ?? PAGE),
        uptr: at?.memory === undefined ? number(0) : added(at.memory, skip),
      },
      { saves: { [name]: 'out_access_pages_id' } },
    );
    if (access !== undefined) scene.pins.push({ access, name });
  });

const unpinPages: fc.Arbitrary<Step> = fc.record({ which, stale: oneIn(6) }).map(({ which, stale }) => (scene) => {
  const pin = scene.pick(scene.pins, which);
  const id = pin === undefined ? number(-1) : descriptor(pin.access);
  scene.call('TEST_DESTROY_ACCESS_PAGES', { id, access_pages_id: pin === undefined ? 0 : saved(pin.name, stale ? 1 : 0) });
});

const accessRw: fc.Arbitrary<Step> = fc
  .record({
    which,
    mapping: which,
    flags: mostly(fc.constantFrom(0, 1, 4, 5), edges32),
    skip: mostly(fc.constant(0n), fc.constantFrom(1n, 0x7f0n, 0xff8n, PAGE)),
    length: mostly(fc.constantFrom(1n, 16n, 64n), fc.constantFrom(0n, 0x1800n, 1n << 25n)),
  })
  .map(({ which, mapping, flags, skip, length }) => (scene) => {
    const access = scene.pick(scene.accesses, which);
    const at = scene.pick(scene.mappings, mapping);
    scene.add(plain('fill', 's', 0x400, packed(1, which, 2, 3, 4, 5, 6, 7, 8)));
    scene.call(
      'TEST_ACCESS_RW',
      {
        id: access === undefined ? number(-1) : descriptor(access),
        iova: added(at?.iova ?? number(2n * APERTURE_START), skip),
        length,
        uptr: address('s', 0x400),
        flags: flags === 0x10000 ? 2 : flags,
      },
      { watches: ['s', 'b'] },
    );
  });

const accessReplace: fc.Arbitrary<Step> = fc.record({ which, to: which, wrong: wrongId }).map(({ which, to, wrong }) => (scene) => {
  const access = scene.pick(scene.accesses, which);
  const ioas_id = chosen(scene, wrong, to, scene.id(scene.pick(scene.ioases, to)));
  scene.call('TEST_ACCESS_REPLACE_IOAS', { id: access === undefined ? number(-1) : descriptor(access), ioas_id });
});

const closeAccess: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  const access = scene.pick(scene.accesses, which);
  if (access === undefined) return;
  scene.add(plain('close', access));
  scene.accesses.splice(scene.accesses.indexOf(access), 1);
});

// --- VFIO's own calls ---

const vfioIoas: fc.Arbitrary<Step> = fc
  .record({ which, wrong: wrongId, op: mostly(fc.constantFrom(0, 1, 1, 1, 2), edges32) })
  .map(({ which, wrong, op }) => (scene) => {
    const ioas_id = op === 1 ? chosen(scene, wrong, which, scene.id(scene.pick(scene.ioases, which))) : number(0);
    scene.call('VFIO_IOAS', { op, ioas_id });
  });

const vfioAsk: fc.Arbitrary<Step> = fc
  .record({
    ask: fc.constantFrom('VFIO_GET_API_VERSION', 'VFIO_CHECK_EXTENSION', 'VFIO_CHECK_EXTENSION', 'VFIO_SET_IOMMU'),
    argument: fc.constantFrom(1, 3, 4, 6, 7, 8, 9, 10, 0, 99),
  })
  .map(({ ask, argument }) => (scene) => {
    scene.call(ask, {}, { address: number(argument) });
  });

const vfioInfo: fc.Arbitrary<Step> = mostly(fc.constantFrom(24, 64, 128, 400), fc.constantFrom(0, 16, 23, 40)).map((argsz) => (scene) => {
  scene.call('VFIO_IOMMU_GET_INFO', { argsz }, { room: 400 });
});

const vfioMap: fc.Arbitrary<Step> = fc
  .record({
    page: memoryPage,
    inPage,
    iova: iovas,
    size: lengths,
    flags: mostly(fc.constantFrom(3, 3, 1, 2), edges32),
    argsz: mostly(fc.constant(32), fc.constantFrom(0, 31, 40)),
  })
  .map(({ page, inPage, iova, size, flags, argsz }) => (scene) => {
    scene.call('VFIO_IOMMU_MAP_DMA', { argsz, flags, vaddr: address('b', page + inPage), iova, size });
    const ioas = scene.ioases[0];
    if (ioas !== undefined) scene.mappings.push({ ioas, iova: number(iova), length: size, memory: address('b', page + inPage) });
  });

const vfioUnmap: fc.Arbitrary<Step> = fc
  .record({
    which,
    known: fc.boolean(),
    iova: iovas,
    size: lengths,
    flags: mostly(fc.constantFrom(0, 0, 0, 2), edges32),
    argsz: mostly(fc.constant(24), fc.constantFrom(0, 23, 40)),
  })
  .map(({ which, known, iova, size, flags, argsz }) => (scene) => {
    const mapping = scene.pick(scene.mappings, which);
    const all = flags === 2 && known;
    const at = all ? number(0) : known && mapping !== undefined ? mapping.iova : number(iova);
    scene.call('VFIO_IOMMU_UNMAP_DMA', { argsz, flags, iova: at, size: all ? 0 : known && mapping !== undefined ? mapping.length : size });
  });

// --- Queues and virtual IOMMUs ---

const faultQueue: fc.Arbitrary<Step> = mostly(fc.constant(0), edges32).map((flags) => (scene) => openFaults(scene, flags));

const faultTable: fc.Arbitrary<Step> = fc
  .record({ which, fault: which, wrong: wrongId, flags: mostly(fc.constantFrom(4, 4, 12), edges32) })
  .map(({ which, fault, wrong, flags }) => (scene) => {
    const dev_id = scene.id(scene.pick(scene.devices, which)?.idev);
    const fault_id = chosen(scene, wrong, fault, scene.id(scene.pick(scene.faults, fault)?.id));
    allocateHwpt(scene, { flags, dev_id, pt_id: scene.id(scene.pick(scene.ioases, which)), fault_id });
  });

const triggerFault: fc.Arbitrary<Step> = fc
  .record({ which, pasid: mostly(fc.constantFrom(0, 0, 1, 2), edges32), grpid: fc.nat(3), perm: fc.constantFrom(1, 2, 3), addr: iovas })
  .map(({ which, pasid, grpid, perm, addr }) => (scene) => {
    scene.call('TEST_TRIGGER_IOPF', { dev_id: scene.id(scene.pick(scene.devices, which)?.idev), pasid, grpid, perm, addr });
  });

const readFaults: fc.Arbitrary<Step> = fc
  .record({ which, length: mostly(fc.constantFrom(40, 80, 400), fc.constantFrom(1, 39, 48)) })
  .map(({ which, length }) => (scene) => {
    const queue = scene.pick(scene.faults, which);
    if (queue !== undefined) scene.add(plain('read', queue.fd, length));
  });

const answerFaults: fc.Arbitrary<Step> = fc
  .record({
    which,
    cookies: fc.array(fc.nat(4), { minLength: 1, maxLength: 3 }),
    code: mostly(fc.constantFrom(0, 1), fc.constantFrom(2, 0xffffffff)),
    short: oneIn(20),
  })
  .map(({ which, cookies, code, short }) => (scene) => {
    const queue = scene.pick(scene.faults, which);
    const bytes = packed(4, ...cookies.flatMap((cookie) => [cookie, code]));
    if (queue !== undefined) scene.add(plain('write', queue.fd, short ? bytes.slice(2) : bytes));
  });

const closeFaults: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  const queue = scene.pick(scene.faults, which);
  if (queue === undefined) return;
  scene.add(plain('close', queue.fd));
  scene.faults.splice(scene.faults.indexOf(queue), 1);
});

const readEvents: fc.Arbitrary<Step> = fc
  .record({ which, length: mostly(fc.constantFrom(12, 24, 400), fc.constantFrom(1, 7, 8, 11)) })
  .map(({ which, length }) => (scene) => {
    const queue = scene.pick(scene.events, which);
    if (queue !== undefined) scene.add(plain('read', queue, length));
  });

const triggerEvent: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  scene.call('TEST_TRIGGER_VEVENT', { dev_id: scene.id(scene.pick(scene.devices, which)?.idev) });
});

const viommu: fc.Arbitrary<Step> = fc
  .record({ which, table: which, type: mostly(fc.constant(SELFTEST_TYPE), edges32), flags: mostly(fc.constant(0), edges32) })
  .map(
    ({ which, table, type, flags }) =>
      (scene) =>
        addViommu(scene, scene.pick(scene.hwpts, table), flags, type, which),
  );

const vdevice: fc.Arbitrary<Step> = fc.record({ which, device: which, virt_id: mostly(fc.constantFrom(1n, 2n, 0x99n), edges64) }).map(
  ({ which, device, virt_id }) =>
    (scene) =>
      addVdevice(scene, scene.pick(scene.viommus, which), virt_id, device),
);

const eventQueue: fc.Arbitrary<Step> = fc
  .record({
    which,
    type: mostly(fc.constant(SELFTEST_EVENTS), edges32),
    veventq_depth: mostly(fc.constantFrom(1, 2, 16), fc.constantFrom(0, 0xffffffff)),
  })
  .map(({ which, type, veventq_depth }) => (scene) => {
    const [id, fd] = [scene.name('veventq'), scene.name('events')];
    const viommu_id = scene.id(scene.pick(scene.viommus, which));
    const saves = { [id]: 'out_veventq_id', [fd]: { fd: 'out_veventq_fd' } };
    scene.call('VEVENTQ_ALLOC', { viommu_id, type, veventq_depth }, { saves });
    scene.others.push(id);
    scene.events.push(fd);
  });

const unknownCall: fc.Arbitrary<Step> = fc
  .record({
    nr: fc.constantFrom(0x00, 0x63, 0x75, 0x7f, 0x96, 0x9f, 0xa1, 0xff),
    type: fc.constantFrom(0x3b, 0x3b, 0x3c),
    high: fc.constantFrom(0, 0, 0xc008),
  })
  .map(({ nr, type, high }) => (scene) => {
    const cmd = ((high << 16) | (type << 8) | nr) >>> 0;
    scene.add({ verb: 'ioctl', fd: 'f', cmd, bytes: Uint8Array.from([8, 0, 0, 0, 0, 0, 0, 0]), patches: [], saves: [], watches: [] });
  });

/** The parts of the ABI, each with its steps and how often they come among those of their part. */
const parts = {
  ioas: [
    [3, ioasAlloc],
    [14, ioasMap],
    [4, ioasMapFile],
    [7, ioasUnmap],
    [5, ioasCopy],
    [7, iovaRanges],
    [3, allowIovas],
    [2, option],
    [4, destroy],
    [1, destroyAny],
    [1, changeProcess],
    [1, unknownCall],
  ],
  hwpt: [
    [7, mockDevice],
    [4, mockReplace],
    [7, hwptAlloc],
    [2, hwInfo],
    [3, setDirty],
    [3, dirty],
    [4, dirtyBitmap],
    [4, checkMap],
    [1, addReserved],
  ],
  refs: [[2, checkRefs]],
  access: [
    [4, createAccess],
    [4, accessPages],
    [2, unpinPages],
    [5, accessRw],
    [1, accessReplace],
    [1, closeAccess],
  ],
  pasid: [[6, pasid]],
  compat: [
    [2, vfioIoas],
    [1, vfioAsk],
    [1, vfioInfo],
    [3, vfioMap],
    [3, vfioUnmap],
  ],
  nested: [
    [3, nestedAlloc],
    [2, invalidate],
    [2, viommu],
    [2, vdevice],
    [2, eventQueue],
    [2, triggerEvent],
    [2, readEvents],
  ],
  faults: [
    [2, faultQueue],
    [3, faultTable],
    [5, triggerFault],
    [4, readFaults],
    [3, answerFaults],
    [1, closeFaults],
  ],
} as const satisfies Record<string, readonly (readonly [number, fc.Arbitrary<Step>])[]>;

export type Part = keyof typeof parts;
export const partNames = Object.keys(parts) as readonly Part[];

/** Something wrong with one call, whatever it is. */
const spoil: fc.Arbitrary<Spoil> = fc.oneof(
  fc.tuple(which, edges64).map(([n, value]) => (line: IoctlLine) => {
    const fields = fieldsOf(line).filter(({ name }) => name !== 'op');
    const field = fields[n % Math.max(1, fields.length)];
    return field === undefined || spared(line, field.name) ? line : withField(line, field, value);
  }),
  fc.constantFrom(-8, -4, -1, 1, 4, 8, 256, 4096, 100000).map((more) => (line: IoctlLine) => {
    const size = line.bytes.length;
    return fieldsOf(line)[0]?.name === 'size' ? withField(line, { offset: 0, size: 4 }, Math.max(0, size + more)) : line;
  }),
  fc.nat(7).map((n) => (line: IoctlLine) => longer(line, n === 0 ? 0 : 1)),
  fc
    .constantFrom(number(0), number(1), address('s', 0xffc), address('s', 0xff8), number((1n << 64n) - 1n))
    .map((argument) => (line: IoctlLine) => {
      return fieldsOf(line).length === 0 || line.saves.some(({ size }) => size === 'fd') ? line : { ...line, address: argument };
    }),
  fc.constantFrom('m', 'closed').map((fd) => (line: IoctlLine) => ({ ...line, fd })),
);

/** Fields that would make the kernel's test interface allocate all its memory, or make one of its own checks fail. */
function spared(line: IoctlLine, field: string): boolean {
  const cmd = line.cmd & 0xff;
  return (
    (cmd === 0xa0 && (field === 'id' || field === 'pasid' || field === 'flags' || field === 'length' || field === 'page_size')) ||
    cmd === 0x80
  );
}

function longer(line: IoctlLine, last: number): IoctlLine {
  if (fieldsOf(line)[0]?.name !== 'size') return line;
  const bytes = new Uint8Array(line.bytes.length + 8);
  bytes.set(line.bytes);
  bytes[bytes.length - 1] = last;
  return withField({ ...line, bytes }, { offset: 0, size: 4 }, bytes.length);
}

function added(value: Value, plus: bigint): Value {
  if (value.kind === 'number') return number(BigInt.asUintN(64, value.value + plus));
  return value.kind === 'descriptor' ? value : { ...value, plus: value.plus + plus };
}

/** Lengths that a whole page array of the test interface can be made for. */
function smaller(length: bigint): bigint {
  return length > 1n << 20n ? PAGE : length;
}

interface SpoiltStep {
  readonly step: Step;
  readonly spoil: Spoil | undefined;
  /** Whether what has run out is made again first. */
  readonly refill: boolean;
}

function stepsOf(chosen: readonly Part[]): fc.Arbitrary<SpoiltStep> {
  const each = chosen.map((part) => ({
    weight: part === 'ioas' ? 3 : 2,
    arbitrary: fc.oneof(...parts[part].map(([weight, arbitrary]) => ({ weight, arbitrary: arbitrary as fc.Arbitrary<Step> }))),
  }));
  return fc.record({
    step: fc.oneof(...each),
    spoil: mostly(fc.constant(undefined), spoil, 14),
    refill: mostly(fc.constant(true), fc.constant(false), 5),
  });
}

/** What a sequence begins with, so that its steps find something to act on. */
interface Start {
  readonly ioases: number;
  readonly ready: boolean;
  readonly hwptFlags: number;
  readonly attached: boolean;
}

const start: fc.Arbitrary<Start> = fc.record({
  ioases: mostly(fc.constantFrom(1, 1, 2), fc.constant(0), 15),
  ready: mostly(fc.constant(true), fc.constant(false), 5),
  hwptFlags: fc.constantFrom(0, 1, 2, 2, 3, 8),
  attached: fc.boolean(),
});

/** Parts that say nothing without a device. */
const onDevices: readonly Part[] = ['hwpt', 'refs', 'pasid', 'nested', 'faults'];

/** Sequences of up to MAX_STEPS steps. Each keeps to one or two of the chosen parts, beside the IOAS's own calls, so that the objects of a part meet. */
export function sequences(chosen: readonly Part[]): fc.Arbitrary<Sequence> {
  return fc.subarray([...chosen], { minLength: 1, maxLength: Math.min(2, chosen.length) }).chain((some) => {
    const used: Part[] = [
      ...new Set<Part>(['ioas', ...some, ...(some.some((part) => onDevices.includes(part)) ? (['hwpt'] as const) : [])]),
    ];
    return fc.tuple(start, fc.array(stepsOf(used), { minLength: 1, maxLength: MAX_STEPS, size: 'max' })).map(([first, steps]) => {
      const scene = new Scene();
      prepare(scene, used, first);
      for (const each of steps) add(scene, used, each);
      scene.detachPasids();
      return { name: 'generated', lines: scene.lines };
    });
  });
}

function prepare(scene: Scene, used: readonly Part[], { ioases, ready, hwptFlags, attached }: Start): void {
  for (let n = 0; n < ioases; n++) allocateIoas(scene, 0);
  const [ioas] = scene.ioases;
  if (!ready || ioas === undefined) return;
  if (used.includes('compat')) scene.call('VFIO_IOAS', { op: 1, ioas_id: saved(ioas) });
  if (used.includes('access')) openAccess(scene, saved(ioas), 1);
  if (!used.includes('hwpt')) return;
  const device = addDevice(scene, saved(ioas), 4);
  const flags = used.includes('pasid') ? 8 : used.includes('nested') ? 1 : hwptFlags;
  const hwpt = allocateHwpt(scene, { flags, dev_id: saved(device.idev), pt_id: saved(ioas) });
  if (attached || used.includes('pasid')) scene.call('TEST_MOCK_DOMAIN_REPLACE', { id: saved(device.stdev), pt_id: saved(hwpt) });
  if (attached && (flags & DIRTY_TRACKING) !== 0) scene.call('HWPT_SET_DIRTY_TRACKING', { hwpt_id: saved(hwpt), flags: 1 });
  if (used.includes('nested') && attached) attachNested(scene, device, hwpt);
  if (used.includes('faults')) attachFaulting(scene, device, saved(ioas));
}

/** The whole of a virtual IOMMU: a device of its own number in it, attached to a nested table. */
function attachNested(scene: Scene, device: Device, parent: string): void {
  addViommu(scene, parent, 0, SELFTEST_TYPE);
  addVdevice(scene, scene.viommus[0], 0x99n);
  const name = scene.name('nested');
  const data_uptr = scene.scratch(packed(4, 0x1234, 0), 0x800);
  const fields = { dev_id: saved(device.idev), pt_id: scene.id(scene.viommus[0]), data_type: SELFTEST_DATA, data_len: 8, data_uptr };
  scene.call('HWPT_ALLOC', fields, { saves: { [name]: 'out_hwpt_id' } });
  scene.nested.push(name);
  scene.call('TEST_MOCK_DOMAIN_REPLACE', { id: saved(device.stdev), pt_id: saved(name) });
}

function attachFaulting(scene: Scene, device: Device, pt_id: Value): void {
  openFaults(scene, 0);
  const hwpt = allocateHwpt(scene, { flags: 4, dev_id: saved(device.idev), pt_id, fault_id: scene.id(scene.faults[0]?.id) });
  scene.call('TEST_MOCK_DOMAIN_REPLACE', { id: saved(device.stdev), pt_id: saved(hwpt) });
}

function openFaults(scene: Scene, flags: number): void {
  const [id, fd] = [scene.name('fault'), scene.name('faults')];
  scene.call('FAULT_QUEUE_ALLOC', { flags }, { saves: { [id]: 'out_fault_id', [fd]: { fd: 'out_fault_fd' } } });
  scene.others.push(id);
  scene.faults.push({ id, fd });
}

function addVdevice(scene: Scene, viommu: string | undefined, virt_id: bigint, device = 0): void {
  const name = scene.name('vdevice');
  const dev_id = scene.id(scene.pick(scene.devices, device)?.idev);
  scene.call('VDEVICE_ALLOC', { viommu_id: scene.id(viommu), dev_id, virt_id }, { saves: { [name]: 'out_vdevice_id' } });
  scene.others.push(name);
}

function allocateIoas(scene: Scene, flags: number): void {
  const name = scene.name('ioas');
  scene.call('IOAS_ALLOC', { flags }, { saves: { [name]: 'out_ioas_id' } });
  if (flags === 0) scene.ioases.push(name);
}

function addDevice(scene: Scene, id: Value, flags: number | undefined): Device {
  const device = { stdev: scene.name('stdev'), hwpt: scene.name('auto'), idev: scene.name('idev') };
  const saves = { [device.stdev]: 'out_stdev_id', [device.hwpt]: 'out_hwpt_id', [device.idev]: 'out_idev_id' };
  if (flags === undefined) scene.call('TEST_MOCK_DOMAIN', { id }, { saves });
  else scene.call('TEST_MOCK_DOMAIN_FLAGS', { id, dev_flags: flags }, { saves });
  scene.devices.push(device);
  return device;
}

function allocateHwpt(scene: Scene, fields: Readonly<Record<string, Value | number>>): string {
  const name = scene.name('hwpt');
  scene.call('HWPT_ALLOC', fields, { saves: { [name]: 'out_hwpt_id' } });
  scene.hwpts.push(name);
  return name;
}

function openAccess(scene: Scene, id: Value, flags: number): void {
  const name = scene.name('access');
  scene.call('TEST_CREATE_ACCESS', { id, flags }, { saves: { [name]: { fd: 'out_access_fd' } } });
  scene.accesses.push(name);
}

function add(scene: Scene, used: readonly Part[], { step, spoil, refill: wanted }: SpoiltStep): void {
  if (wanted) refill(scene, used);
  const before = scene.lines.length;
  step(scene);
  const last = scene.lines.at(-1);
  if (spoil !== undefined && scene.lines.length > before && last?.verb === 'ioctl') scene.lines[scene.lines.length - 1] = spoil(last);
}

function refill(scene: Scene, used: readonly Part[]): void {
  if (scene.ioases.length === 0) allocateIoas(scene, 0);
  const ioas = saved(scene.ioases[0]!);
  if (used.includes('hwpt') && scene.devices.length === 0) addDevice(scene, ioas, 4);
  if (used.includes('access') && scene.accesses.length === 0) openAccess(scene, ioas, 1);
  if (used.includes('nested') && scene.viommus.length === 0) addViommu(scene, scene.pick(scene.hwpts, 0), 0, SELFTEST_TYPE);
}

function addViommu(scene: Scene, hwpt: string | undefined, flags: number, type: number, device = 0): void {
  const name = scene.name('viommu');
  const dev_id = scene.id(scene.pick(scene.devices, device)?.idev);
  scene.call('VIOMMU_ALLOC', { flags, type, dev_id, hwpt_id: scene.id(hwpt) }, { saves: { [name]: 'out_viommu_id' } });
  scene.viommus.push(name);
}
