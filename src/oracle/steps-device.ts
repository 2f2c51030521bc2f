/**
 * Steps on mock devices and their page tables: attaching, hardware information, dirty tracking, and the test
 * interface's looks into a page table.
 */
import fc from 'fast-check';
import { address, number, plain } from './language.js';
import { addDevice, allocateHwpt, SELFTEST_DATA } from './makers.js';
import {
  APERTURE_START,
  edges32,
  iovas,
  lengths,
  memoryPage,
  mostly,
  oneIn,
  PAGE,
  pageSizes,
  which,
  wrongId,
} from './numbers.js';
import { added, chosen, packed, type Step } from './scene.js';

export const mockDevice: fc.Arbitrary<Step> = fc
  .record({
    which,
    flags: fc.constantFrom(undefined, undefined, 0, 1, 4, 4),
    onTable: oneIn(5),
    wrong: wrongId,
  })
  .map(({ which, flags, onTable, wrong }) => (scene) => {
    const right = onTable ? scene.pageTable(which) : scene.id(scene.pick(scene.ioases, which));
    addDevice(scene, chosen(scene, wrong, which, right), flags);
  });

export const mockReplace: fc.Arbitrary<Step> = fc
  .record({ which, to: which, wrong: wrongId })
  .map(({ which, to, wrong }) => (scene) => {
    const device = scene.pick(scene.devices, which);
    const pt_id = wrong ? scene.anyId(to) : scene.pageTable(to);
    const name = scene.name('auto');
    scene.call(
      'TEST_MOCK_DOMAIN_REPLACE',
      { id: scene.id(device?.stdev), pt_id },
      { saves: { [name]: 'pt_id' } },
    );
    if (device !== undefined) scene.devices[scene.devices.indexOf(device)] = { ...device, hwpt: name };
  });

export const hwptAlloc: fc.Arbitrary<Step> = fc
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
      ...(data && {
        data_type: SELFTEST_DATA,
        data_len: 8,
        data_uptr: scene.scratch(packed(4, 0, type), 0x800),
      }),
    });
  });

export const hwInfo: fc.Arbitrary<Step> = fc
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
    scene.call(
      'GET_HW_INFO',
      { flags, dev_id, data_len, data_uptr, data_type: flags === 0 ? 0 : type },
      { watches: ['s'] },
    );
  });

export const setDirty: fc.Arbitrary<Step> = fc
  .record({ which, flags: mostly(fc.constantFrom(1, 1, 0), edges32) })
  .map(({ which, flags }) => (scene) => {
    scene.call('HWPT_SET_DIRTY_TRACKING', { hwpt_id: scene.id(scene.pick(scene.hwpts, which)), flags });
  });

export const dirty: fc.Arbitrary<Step> = fc
  .record({
    which,
    mapping: which,
    page_size: pageSizes,
    bits: fc.array(fc.nat(255), { minLength: 2, maxLength: 2 }),
  })
  .map(({ which, mapping, page_size, bits }) => (scene) => {
    const at = scene.pick(scene.mappings, mapping);
    const id = scene.id(scene.pick(scene.hwpts, which));
    const uptr = scene.scratch(packed(1, ...bits), 0xc00);
    const length = at === undefined || at.length > 0x10000n ? 4n * PAGE : at.length;
    scene.call('TEST_DIRTY', { id, iova: at?.iova ?? 2n * APERTURE_START, length, page_size, uptr });
  });

export const dirtyBitmap: fc.Arbitrary<Step> = fc
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

export const checkMap: fc.Arbitrary<Step> = fc
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

export const checkRefs: fc.Arbitrary<Step> = fc
  .record({
    page: memoryPage,
    length: fc.constantFrom(PAGE, PAGE, 0x800n),
    refs: fc.constantFrom(0, 0, 1, 1, 2),
  })
  .map(
    ({ page, length, refs }) =>
      (scene) =>
        scene.call('TEST_MD_CHECK_REFS', { uptr: address('b', page), length, refs }),
  );

export const addReserved: fc.Arbitrary<Step> = fc
  .record({ which, start: iovas, length: lengths })
  .map(({ which, start, length }) => (scene) => {
    scene.call('TEST_ADD_RESERVED', { id: scene.id(scene.pick(scene.ioases, which)), start, length });
  });
