/** Steps by VFIO's own calls, which iommufd answers for programs that know only those. */
import fc from 'fast-check';
import { address, number } from './language.js';
import { edges32, inPage, iovas, lengths, memoryPage, mostly, which, wrongId } from './numbers.js';
import { chosen, type Step } from './scene.js';

export const vfioIoas: fc.Arbitrary<Step> = fc
  .record({ which, wrong: wrongId, op: mostly(fc.constantFrom(0, 1, 1, 1, 2), edges32) })
  .map(({ which, wrong, op }) => (scene) => {
    const ioas_id =
      op === 1 ? chosen(scene, wrong, which, scene.id(scene.pick(scene.ioases, which))) : number(0);
    scene.call('VFIO_IOAS', { op, ioas_id });
  });

export const vfioAsk: fc.Arbitrary<Step> = fc
  .record({
    ask: fc.constantFrom(
      'VFIO_GET_API_VERSION',
      'VFIO_CHECK_EXTENSION',
      'VFIO_CHECK_EXTENSION',
      'VFIO_SET_IOMMU',
    ),
    argument: fc.constantFrom(1, 3, 4, 6, 7, 8, 9, 10, 0, 99),
  })
  .map(({ ask, argument }) => (scene) => {
    scene.call(ask, {}, { address: number(argument) });
  });

export const vfioInfo: fc.Arbitrary<Step> = mostly(
  fc.constantFrom(24, 64, 128, 400),
  fc.constantFrom(0, 16, 23, 40),
).map((argsz) => (scene) => {
  scene.call('VFIO_IOMMU_GET_INFO', { argsz }, { room: 400 });
});

export const vfioMap: fc.Arbitrary<Step> = fc
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
    if (ioas !== undefined)
      scene.mappings.push({ ioas, iova: number(iova), length: size, memory: address('b', page + inPage) });
  });

export const vfioUnmap: fc.Arbitrary<Step> = fc
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
    scene.call('VFIO_IOMMU_UNMAP_DMA', {
      argsz,
      flags,
      iova: at,
      size: all ? 0 : known && mapping !== undefined ? mapping.length : size,
    });
  });
