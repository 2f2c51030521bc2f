/** Steps 1 to 5: what gives access, and what does not. */
import { DATA_IOVA } from './area.js';
import type { Cast } from './cast.js';
import type { Stage } from './stage.js';

const SUCCESS = 1;
/** A page fault, at a write. */
const WRITE_FAULT = 0x83;
/** What a DSA mdev reports instead of loading a PASID that is not in its list. */
const NOT_ADMITTED = 0x22;
const PAGE = 4096;
/** What both mdevs of step 5 know their PASID as. */
const VPASID = 7;

export async function noAccessBefore(stage: Stage, { alice, rids }: Cast): Promise<void> {
  const { report } = stage;
  const { vm, pasid, area, vfio0 } = alice;
  const fault = { rid: rids.vfio0, pasid, iova: DATA_IOVA, write: true };
  report.done(
    `alice's PASID ${pasid} has 16 MiB of her memory in it; her vfio0 is open, and authorized for nothing`,
  );
  await stage.faulted(`vfio0, told to fill a page through PASID ${pasid}, cannot`, fault, () =>
    area.fill({ vm, device: vfio0, pasid }, 0xaa, { bytes: PAGE }),
  );
  report.check('not a byte of her memory changed', await area.count(0), area.bytes);
}

export async function accessAfter(stage: Stage, { alice, rids }: Cast): Promise<void> {
  const { report } = stage;
  const { vm, ioasid, pasid, area, vfio0 } = alice;
  await vm.authorize(vfio0, ioasid, pasid);
  report.done(
    `AUTHORIZE on vfio0 (fd ${vfio0}) presents the ioasid FD (fd ${ioasid}) and names PASID ${pasid}`,
  );
  await area.fill({ vm, device: vfio0, pasid }, 0xaa, { bytes: PAGE });
  report.check('the same fill completes with success', await area.wait(), SUCCESS);
  report.check('and 4096 bytes of her memory are 0xaa', await area.count(0xaa), PAGE);
  const end = { rid: rids.vfio0, pasid, iova: DATA_IOVA + area.bytes, write: true };
  await stage.faulted('a fill across the end of what is mapped stops there', end, () =>
    area.fill({ vm, device: vfio0, pasid }, 0xbb, { from: area.bytes - PAGE, bytes: 2 * PAGE }),
  );
  report.check('its completion record says so', await area.status(), WRITE_FAULT);
}

export async function numberIsNothing(stage: Stage, { alice, bob }: Cast): Promise<void> {
  const { report } = stage;
  const { vm, ioasid, vfio1 } = bob;
  const { pasid, area } = alice;
  await report.refused('bob opens the device that alice has open', 'EBUSY', () => vm.openDevice(0));
  await report.refused(`bob authorizes his vfio1 for PASID ${pasid}, with his own ioasid FD`, 'ENOENT', () =>
    vm.authorize(vfio1, ioasid, pasid),
  );
  await report.refused('bob presents a device FD as if it were an ioasid FD', 'EINVAL', () =>
    vm.authorize(vfio1, vfio1, pasid),
  );
  await report.refused(`bob maps memory of his into PASID ${pasid}`, 'ENOENT', () =>
    bob.area.map(ioasid, pasid),
  );
  await area.set(0);
  await area.fill({ vm, device: vfio1, pasid }, 0xb0);
  await stage.idle();
  report.check(
    `vfio1, told to use PASID ${pasid} all the same, does not load it (SWERR 0x22)`,
    await vm.deviceError(vfio1),
    NOT_ADMITTED,
  );
  report.check("not a byte of alice's memory changed", await area.count(0), area.bytes);
}

export async function handedOver(stage: Stage, { alice, bob }: Cast): Promise<void> {
  const { report } = stage;
  const { pasid, area } = alice;
  await alice.vm.send(alice.ioasid);
  const received = await bob.vm.receive();
  report.done(`alice sends her ioasid FD over a Unix socket (SCM_RIGHTS); bob has it as fd ${received}`);
  await bob.vm.authorize(bob.vfio1, received, pasid);
  await area.fill({ vm: bob.vm, device: bob.vfio1, pasid }, 0xb0);
  report.check(
    `bob presents it: vfio1 may use PASID ${pasid}, and completes a fill there`,
    await area.wait(),
    SUCCESS,
  );
  report.check("all of alice's memory is 0xb0", await area.count(0xb0), area.bytes);
  await bob.vm.close(received);
  await area.fill({ vm: alice.vm, device: alice.vfio0, pasid }, 0xaa);
  report.check(
    'bob closes his copy: one close of several changes nothing for alice',
    await area.wait(),
    SUCCESS,
  );
  await bob.vm.revoke(bob.vfio1, pasid);
}

export async function mdevsOfOneVm(stage: Stage, { bob, rids }: Cast): Promise<void> {
  const { report } = stage;
  const { vm, ioasid, pasid, area, vfio1, vfio2, secondPasid, secondArea } = bob;
  await vm.authorize(vfio1, ioasid, pasid, VPASID);
  await vm.authorize(vfio2, ioasid, secondPasid, VPASID);
  report.done(
    `vfio1 knows PASID ${pasid} as vpasid 7, vfio2 knows PASID ${secondPasid} as vpasid 7; ` +
      `both are ${rids.mdevs} to the IOMMU`,
  );
  await area.fill({ vm, device: vfio1, pasid: VPASID }, 0x11);
  await secondArea.fill({ vm, device: vfio2, pasid: VPASID }, 0x22);
  report.check(
    'both fill through "PASID 7" and succeed',
    [await area.wait(), await secondArea.wait()],
    [SUCCESS, SUCCESS],
  );
  const counts = [await area.count(0x11), await secondArea.count(0x22)];
  report.check('each has filled the memory of its own PASID', counts, [area.bytes, secondArea.bytes]);
  await secondArea.fill({ vm, device: vfio1, pasid: secondPasid }, 0x33);
  await stage.idle();
  report.check(
    `vfio1 does not load PASID ${secondPasid}, which their requester id may use`,
    await vm.deviceError(vfio1),
    NOT_ADMITTED,
  );
  report.check("not a byte of the other's memory changed", await secondArea.count(0x22), secondArea.bytes);
  await report.refused(`vfio1 is asked to know PASID ${secondPasid} as vpasid 7 too`, 'EEXIST', () =>
    vm.authorize(vfio1, ioasid, secondPasid, VPASID),
  );
}
