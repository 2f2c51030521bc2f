/** Steps on an IOAS: what /dev/iommu does with no device attached. */
import fc from 'fast-check';
import { address, descriptor, number, saved } from './language.js';
import { allocateIoas } from './makers.js';
import {
  edges32,
  edges64,
  FIXED,
  inPage,
  iovas,
  lengths,
  memoryPage,
  mostly,
  oddMemoryPage,
  oneIn,
  PAGE,
  pages,
  rights,
  which,
  wrongId,
} from './numbers.js';
import { added, chosen, MEMORY_BYTES, packed, type Step } from './scene.js';

export const ioasAlloc: fc.Arbitrary<Step> = mostly(fc.constant(0), edges32, 20).map(
  (flags) => (scene) => allocateIoas(scene, flags),
);

export const ioasMap: fc.Arbitrary<Step> = fc
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
    const memory = hole
      ? address('b', BigInt(MEMORY_BYTES) - PAGE)
      : address('b', (fixed ? page : odd) + inPage);
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
    if (ioas !== undefined)
      scene.mappings.push({ ioas, iova: fixed ? number(iova) : saved(name), length, memory });
  });

export const ioasMapFile: fc.Arbitrary<Step> = fc
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
      {
        flags: rights | (fixed ? FIXED : 0),
        ioas_id: scene.id(ioas),
        fd,
        start,
        length,
        iova: fixed ? iova : 0n,
      },
      fixed ? {} : { saves: { [name]: 'iova' } },
    );
    if (ioas !== undefined)
      scene.mappings.push({ ioas, iova: fixed ? number(iova) : saved(name), length, memory: undefined });
  });

export const ioasUnmap: fc.Arbitrary<Step> = fc
  .record({ which, known: fc.boolean(), iova: iovas, length: lengths, all: oneIn(8), part: oneIn(6) })
  .map(({ which, known, iova, length, all, part }) => (scene) => {
    const mapping = scene.pick(scene.mappings, which);
    if (all)
      scene.call('IOAS_UNMAP', {
        ioas_id: scene.id(scene.pick(scene.ioases, which)),
        iova: 0n,
        length: (1n << 64n) - 1n,
      });
    else if (known && mapping !== undefined)
      scene.call('IOAS_UNMAP', {
        ioas_id: scene.id(mapping.ioas),
        iova: mapping.iova,
        length: part ? length : mapping.length,
      });
    else
      scene.call('IOAS_UNMAP', {
        ioas_id: scene.id(scene.pick(scene.ioases, which)),
        iova,
        length: length * 4n,
      });
  });

export const ioasCopy: fc.Arbitrary<Step> = fc
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

export const iovaRanges: fc.Arbitrary<Step> = fc
  .record({ which, wrong: wrongId, room: mostly(fc.constant(16), fc.constantFrom(0, 1, 2)), far: oneIn(20) })
  .map(({ which, wrong, room, far }) => (scene) => {
    const ioas_id = chosen(scene, wrong, which, scene.id(scene.pick(scene.ioases, which)));
    const allowed_iovas = address('s', far ? 0xff8 : 0);
    scene.call('IOAS_IOVA_RANGES', { ioas_id, num_iovas: room, allowed_iovas }, { watches: ['s'] });
  });

const rangeList = fc.array(fc.tuple(mostly(iovas, edges64), mostly(pages, edges64)), { maxLength: 3 });

export const allowIovas: fc.Arbitrary<Step> = fc
  .record({ which, ranges: rangeList, extra: mostly(fc.constant(0), fc.constantFrom(1, 4096), 20) })
  .map(({ which, ranges, extra }) => (scene) => {
    const wide = ranges.flatMap(([start, length]) => [start, start + 8n * length - 1n]);
    const allowed_iovas = scene.scratch(packed(8, ...wide));
    scene.call('IOAS_ALLOW_IOVAS', {
      ioas_id: scene.id(scene.pick(scene.ioases, which)),
      num_iovas: ranges.length + extra,
      allowed_iovas,
    });
  });

export const option: fc.Arbitrary<Step> = fc
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

export const destroy: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  const devices = scene.devices.map(({ stdev }) => stdev);
  const targets = [
    ...scene.ioases,
    ...scene.hwpts,
    ...scene.nested,
    ...scene.viommus,
    ...scene.others,
    ...devices,
  ];
  const name = scene.pick(targets, which);
  if (name !== undefined && devices.includes(name)) scene.detachPasids();
  scene.call('DESTROY', { id: scene.id(name) });
  if (name !== undefined) scene.forget(name);
});

export const destroyAny: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  scene.detachPasids();
  scene.call('DESTROY', { id: scene.anyId(which) });
});

export const noiommuGetPa: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  scene.call('IOAS_NOIOMMU_GET_PA', {
    ioas_id: scene.id(scene.pick(scene.ioases, which)),
    iova: 0x1000n,
    length: 0x1000n,
  });
});

export const changeProcess: fc.Arbitrary<Step> = fc.constant((scene) =>
  scene.call('IOAS_CHANGE_PROCESS', {}),
);

export const unknownCall: fc.Arbitrary<Step> = fc
  .record({
    nr: fc.constantFrom(0x00, 0x63, 0x75, 0x7f, 0x96, 0x9f, 0xa1, 0xff),
    type: fc.constantFrom(0x3b, 0x3b, 0x3c),
    high: fc.constantFrom(0, 0, 0xc008),
  })
  .map(({ nr, type, high }) => (scene) => {
    const cmd = ((high << 16) | (type << 8) | nr) >>> 0;
    scene.add({
      verb: 'ioctl',
      fd: 'f',
      cmd,
      bytes: Uint8Array.from([8, 0, 0, 0, 0, 0, 0, 0]),
      patches: [],
      saves: [],
      watches: [],
    });
  });
