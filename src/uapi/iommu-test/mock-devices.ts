/**
 * What the test interface does with mock devices: make one, attach it, have it ask for a page or its IOMMU
 * tell of an event, look into its cache.
 */

import { finish, finished } from '../../file/work.js';
import { NO_PASID, vpasidOf } from '../../iommu/pasid.js';
import { MockDevice } from '../../iommu-test/mock-device.js';
import { MockHardware } from '../../iommu-test/mock-hardware.js';
import { BoundDevice } from '../../iommufd/bound-device.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { IommufdObject } from '../../iommufd/objects.js';
import { hex, refuse } from '../../linux/errno.js';
import type { Command } from '../iommufd/command.js';
import { getU32, setU32 } from '../struct.js';
import {
  CheckEntryStruct,
  MockDomainStruct,
  NumberStruct,
  PasidStruct,
  TriggerIopfStruct,
  TriggerVeventStruct,
} from './layouts.js';

const MOCK_DOMAIN_FLAGS = 12;
/** IOMMU_VEVENTQ_TYPE_SELFTEST. */
const VEVENT_TYPE = 0xbeefbeef;

export function mockDomain(context: IommufdContext, { data, respond }: Command): void {
  const { at } = MockDomainStruct;
  const { op, id, dev_flags } = MockDomainStruct.decode(data);
  const { mock, hwpt } = MockDevice.create(context.objects, op === MOCK_DOMAIN_FLAGS ? dev_flags : 0, id);
  setU32(data, at.out_stdev_id, mock.id);
  setU32(data, at.out_hwpt_id, hwpt);
  setU32(data, at.out_idev_id, mock.device.id);
  try {
    respond();
  } catch (error) {
    finished(context.objects.destroy(mock.id));
    throw error;
  }
}

export function mockDomainReplace(context: IommufdContext, { data, respond }: Command): void {
  const { id, number } = NumberStruct.decode(data);
  const { device } = context.objects.get(id, MockDevice);
  setU32(data, NumberStruct.at.number, finish(device.replace(number, NO_PASID)));
  respond();
}

export function checkCache(context: IommufdContext, { data }: Command): void {
  const { id, entry, value } = CheckEntryStruct.decode(data);
  const { hardware } = context.objects.get(id, BoundDevice);
  if (!(hardware instanceof MockHardware)) refuse('EINVAL', `device ${id} is no mock device`);
  if (hardware.cache[entry] !== value)
    refuse('EINVAL', `entry ${entry} of the device's cache is not ${hex(value)}`);
}

/**
 * The mock device asks for a page. As in Linux that always succeeds, also when nobody is there to be asked.
 */
export function triggerPageFault(context: IommufdContext, { data }: Command): void {
  const { dev_id, pasid, grpid, perm, addr } = TriggerIopfStruct.decode(data);
  const device = context.objects.get(dev_id, BoundDevice);
  if (!(device.hardware instanceof MockHardware)) refuse('EINVAL', `device ${device.id} is no mock device`);
  device.pageRequest({
    pasid: pasid === 0 ? undefined : vpasidOf(pasid),
    group: grpid,
    last: true,
    access: perm,
    address: addr,
  });
}

/**
 * The mock IOMMU tells the vIOMMU that the device is in of an event: that it is the device with this number.
 */
export function triggerVevent(context: IommufdContext, { data }: Command): void {
  const { id, hardware } = context.objects.get(getU32(data, TriggerVeventStruct.at.dev_id), BoundDevice);
  if (!(hardware instanceof MockHardware)) refuse('EINVAL', `device ${id} is no mock device`);
  const { viommu, virtualId } = hardware;
  if (viommu === undefined || virtualId === 0n)
    refuse('ENOENT', `device ${id} goes through no vIOMMU, or has the number 0 there`);
  const event = new Uint8Array(4);
  setU32(event, 0, Number(BigInt.asUintN(32, virtualId)));
  viommu.report(VEVENT_TYPE, event);
}

export function pasidAttach(context: IommufdContext, { data, respond }: Command): void {
  const { id, pasid, pt_id } = PasidStruct.decode(data);
  const { device } = context.objects.get(id, MockDevice);
  setU32(data, PasidStruct.at.pt_id, finish(device.attach(pt_id, vpasidOf(pasid))));
  try {
    respond();
  } catch (error) {
    device.detach(vpasidOf(pasid));
    throw error;
  }
}

export function pasidReplace(context: IommufdContext, { data, respond }: Command): void {
  const { id, pasid, pt_id } = PasidStruct.decode(data);
  const { device } = context.objects.get(id, MockDevice);
  setU32(data, PasidStruct.at.pt_id, finish(device.replace(pt_id, vpasidOf(pasid))));
  respond();
}

export function pasidDetach(context: IommufdContext, { data }: Command): void {
  const { id, pasid } = PasidStruct.decode(data);
  context.objects.get(id, MockDevice).device.detach(vpasidOf(pasid));
}

/** Is `pasid` attached to the HWPT, or, for HWPT 0, to none? */
export function pasidCheck(context: IommufdContext, { data }: Command): void {
  const { id, pasid, pt_id: wanted } = PasidStruct.decode(data);
  const { device } = context.objects.get(id, MockDevice);
  const attached: IommufdObject | undefined = device.attached(vpasidOf(pasid));
  const expected = wanted === 0 ? undefined : context.objects.get(wanted, IommufdObject);
  if (attached !== expected)
    refuse(
      'EINVAL',
      `PASID ${pasid} is attached to ${attached === undefined ? 'nothing' : `HWPT ${attached.id}`}`,
    );
}
