/**
 * IOMMU_VFIO_IOAS: which IOAS the VFIO container ioctls mean.
 */
import type { IommufdContext } from '../../iommufd/context.js';
import { refuse } from '../../linux/errno.js';
import { choice, getU16, getU32, setU32, struct, u16, u32 } from '../struct.js';
import type { Command, IommufdIoctl } from './command.js';

export const VFIO_IOAS_GET = 0;
export const VFIO_IOAS_SET = 1;
export const VFIO_IOAS_CLEAR = 2;
export const VfioIoasStruct = struct('iommu_vfio_ioas', {
  size: u32,
  ioas_id: u32,
  op: choice(
    {
      IOMMU_VFIO_IOAS_GET: VFIO_IOAS_GET,
      IOMMU_VFIO_IOAS_SET: VFIO_IOAS_SET,
      IOMMU_VFIO_IOAS_CLEAR: VFIO_IOAS_CLEAR,
    },
    u16,
  ),
  reserved: u16,
});

export const compatIoctls = {
  IOMMU_VFIO_IOAS: { nr: 0x88, struct: VfioIoasStruct, last: 'reserved', handle: vfioIoas },
} as const satisfies Record<string, IommufdIoctl>;

function vfioIoas(context: IommufdContext, { data, respond }: Command): number {
  const { at } = VfioIoasStruct;
  if (getU16(data, at.reserved) !== 0) refuse('EOPNOTSUPP', 'VFIO_IOAS __reserved must be zero');
  switch (getU16(data, at.op)) {
    case VFIO_IOAS_GET:
      setU32(
        data,
        at.ioas_id,
        (context.compatIoas ?? refuse('ENODEV', 'no IOAS was named for the VFIO container ioctls')).id,
      );
      respond();
      return 0;
    case VFIO_IOAS_SET:
      context.nameCompatIoas(getU32(data, at.ioas_id));
      return 0;
    case VFIO_IOAS_CLEAR:
      context.nameCompatIoas(undefined);
      return 0;
    default:
      return refuse('EOPNOTSUPP', `operation ${getU16(data, at.op)} of VFIO_IOAS is unknown`);
  }
}
