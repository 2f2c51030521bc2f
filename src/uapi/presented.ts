/** What a caller's descriptor is, where another was wanted: named for what it is, with the call for it. */
import { DeviceLife } from '../driver/device-life.js';
import { IoasidContext } from '../ioasid/context.js';
import { IommufdContext } from '../iommufd/context.js';
import { VfioGroup } from '../vfio/group.js';
import { Type1Container } from '../vfio/type1-container.js';

/** In the middle of a sentence: `fd 5 is ...`. */
export function whatIs(object: object): string {
  if (object instanceof IoasidContext) return '/dev/ioasid, which IOASID_AUTHORIZE takes';
  if (object instanceof IommufdContext) return '/dev/iommu, which VFIO_DEVICE_BIND_IOMMUFD takes';
  if (object instanceof Type1Container) return '/dev/vfio/vfio, which VFIO_GROUP_SET_CONTAINER takes';
  if (object instanceof VfioGroup) return 'the file of a VFIO group';
  if ('life' in object && object.life instanceof DeviceLife) return `the file of ${object.life.name}`;
  return 'another device file';
}
