/**
 * IOMMU_GET_HW_INFO: what the IOMMU in front of a device is like.
 */
import type { Work } from '../../file/work.js';
import type { IommufdContext } from '../../iommufd/context.js';
import type { IommuHardware } from '../../iommufd/hardware.js';
import { hex, refuse } from '../../linux/errno.js';
import { bits, setBig, setU32, struct, u8, u32, u64 } from '../struct.js';
import type { Command, IommufdIoctl } from './command.js';

export const HW_INFO_FLAG_INPUT_TYPE = 1;
export const HW_CAP_DIRTY_TRACKING = 1;
/** The device's PASIDs may be on requests to execute, and on privileged ones. */
export const HW_CAP_PCI_PASID_MODES = 2 + 4;
export const HW_CAP_PCI_ATS_NOT_SUPPORTED = 8;
export const HwInfoStruct = struct('iommu_hw_info', {
  size: u32,
  flags: bits({ IOMMU_HW_INFO_FLAG_INPUT_TYPE: HW_INFO_FLAG_INPUT_TYPE }),
  dev_id: u32,
  data_len: u32,
  data_uptr: u64,
  data_type: u32,
  out_max_pasid_log2: u8,
  reserved0: u8,
  reserved1: u8,
  reserved2: u8,
  out_capabilities: u64,
});

export const hwInfoIoctls = {
  IOMMU_GET_HW_INFO: { nr: 0x8a, struct: HwInfoStruct, last: 'reserved2', handle: hwInfo },
} as const satisfies Record<string, IommufdIoctl>;

function* hwInfo(context: IommufdContext, { caller, data, respond }: Command): Work<number> {
  const { at } = HwInfoStruct;
  const { flags, dev_id, data_len: room, data_uptr, data_type } = HwInfoStruct.decode(data);
  if (flags & ~HW_INFO_FLAG_INPUT_TYPE) refuse('EOPNOTSUPP', `GET_HW_INFO flags ${hex(flags)} are unknown`);
  if (data[at.reserved0]! | data[at.reserved1]! | data[at.reserved2]!)
    refuse('EOPNOTSUPP', 'GET_HW_INFO __reserved must be zero');
  const { hardware } = context.device(dev_id);
  const type = flags & HW_INFO_FLAG_INPUT_TYPE ? data_type : 0;
  if (type !== 0 && hardware.info.type !== 0 && type !== hardware.info.type)
    refuse(
      'EOPNOTSUPP',
      `device ${dev_id} has information of type ${hex(hardware.info.type)}, not of ${hex(type)}`,
    );
  const answer = new Uint8Array(Math.min(room, 65536));
  answer.set(hardware.info.data.subarray(0, answer.length));
  const target = Number(data_uptr);
  // What has no place in the answer is cleared, as far as the caller says that his room goes: 4 GiB perhaps.
  for (let done = 0; done < room; done += answer.length) {
    if (done > 0) yield;
    caller.writeMemory(target + done, answer.subarray(0, Math.min(answer.length, room - done)));
    answer.fill(0);
  }
  setU32(data, at.data_type, hardware.info.type);
  setU32(data, at.data_len, hardware.info.data.length);
  data[at.out_max_pasid_log2] = hardware.pasidBits;
  setBig(data, at.out_capabilities, BigInt(capabilitiesOf(hardware)));
  respond();
  return 0;
}

function capabilitiesOf({ dirtyTracking, privilegedPasids, ats }: IommuHardware): number {
  return (
    (dirtyTracking ? HW_CAP_DIRTY_TRACKING : 0) |
    (privilegedPasids === true ? HW_CAP_PCI_PASID_MODES : 0) |
    (ats === true ? 0 : HW_CAP_PCI_ATS_NOT_SUPPORTED)
  );
}
