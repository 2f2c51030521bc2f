/** Steps 6 to 8: what ends access. */
import { type Area, DATA_IOVA } from './area.js';
import { type Cast, newSpace } from './cast.js';
import type { Stage } from './stage.js';

const SUCCESS = 1;
const ABORTED = 0;
const PAGE = 4096;
/** So many fills of the whole area keep a device at work until the next command comes. */
const FILLS = 8;
/** Should a device be done before REVOKE comes, alice tries again. */
const ATTEMPTS = 50;

export async function revokeWhileRunning(stage: Stage, { alice, rids }: Cast): Promise<void> {
  const { report } = stage;
  const { vm, ioasid, pasid, area, vfio0 } = alice;
  await report.refused(`alice frees PASID ${pasid} while vfio0 may use it`, 'EBUSY', () =>
    vm.free(ioasid, pasid),
  );
  report.check(
    'vfio0 fills 16 MiB eight times, and REVOKE comes while it does',
    await revokeInTime(alice),
    true,
  );
  const ended = await statuses(area);
  const completed = ended.filter((status) => status === SUCCESS).length;
  const aborted = ended.filter((status) => status === ABORTED).length;
  report.check(
    `when REVOKE returns, ${completed} have completed, ${aborted} are aborted, none is under way`,
    completed + aborted,
    FILLS,
  );
  await area.set(0x77);
  const fault = { rid: rids.vfio0, pasid, iova: DATA_IOVA, write: true };
  await stage.faulted('alice overwrites the 16 MiB; the next fill cannot reach them', fault, () =>
    area.fill({ vm, device: vfio0, pasid }, 0xaa, { bytes: PAGE }),
  );
  report.check('not a byte has changed since', await area.count(0x77), area.bytes);
  await vm.free(ioasid, pasid);
  report.done(`FREE of PASID ${pasid} now succeeds`);
}

/** @returns whether the last fill had not completed when it was revoked. */
async function revokeInTime({ vm, ioasid, pasid, area, vfio0 }: Cast['alice']): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt > 0) await vm.authorize(vfio0, ioasid, pasid);
    await startFills(area, { vm, device: vfio0, pasid });
    const last = await area.status(FILLS - 1);
    await vm.revoke(vfio0, pasid);
    if (last === ABORTED) return true;
  }
  return false;
}

async function startFills(area: Area, asked: Parameters<Area['fill']>[0]): Promise<void> {
  for (let record = 0; record < FILLS; record++) await area.fill(asked, record + 1, { record });
}

function statuses(area: Area): Promise<number[]> {
  return Promise.all(Array.from({ length: FILLS }, (_, record) => area.status(record)));
}

export async function eitherFirst(stage: Stage, { alice, bob }: Cast): Promise<void> {
  const { report } = stage;
  await bob.vm.close(bob.ioasid);
  await bob.area.fill({ vm: bob.vm, device: bob.vfio1, pasid: 7 }, 0x44);
  report.check(
    'bob closes his ioasid FD: vfio1 goes on, for it holds the context',
    await bob.area.wait(),
    SUCCESS,
  );
  report.check('two contexts are alive', (await stage.counters()).contexts, 2);
  await bob.vm.close(bob.vfio1);
  await bob.vm.close(bob.vfio2);
  report.check(
    'bob closes his devices, the last to hold it: it is gone',
    await stage.until(({ contexts }) => contexts === 1),
    true,
  );
  const pasid = await alice.vm.alloc(alice.ioasid);
  await alice.vm.authorize(alice.vfio0, alice.ioasid, pasid);
  await alice.vm.close(alice.vfio0);
  const revoked = await stage.until(({ authorizations }) => authorizations === 0);
  report.check('alice closes vfio0 first: that revokes, and her context stays', revoked, true);
  await alice.vm.free(alice.ioasid, pasid);
  report.done(`FREE of PASID ${pasid}, which vfio0 could use, succeeds`);
}

export async function killed(stage: Stage, { alice, bob }: Cast): Promise<void> {
  const { report } = stage;
  const { vm, ioasid } = alice;
  const { pasid, area } = await newSpace(vm, ioasid, alice.area.bytes);
  const vfio0 = await vm.openDevice(0);
  await vm.authorize(vfio0, ioasid, pasid);
  await startFills(area, { vm, device: vfio0, pasid });
  const before = await stage.counters();
  const one = { contexts: 1, PASIDs: 1, mappings: 1, memories: 1, authorizations: 1, devices: 1 };
  report.check(
    `alice has PASID ${pasid}, maps, authorizes vfio0 again, and submits eight fills`,
    before,
    one,
  );
  await vm.kill();
  const clean = await stage.until((now) => Object.values(now).every((value) => value === 0));
  report.check('alice is killed with -9: nothing is left behind', clean, true);
  report.note(`before  ${describe(before)}`);
  report.note(`after   ${describe(await stage.counters())}`);
  await bob.vm.openDevice(0);
  report.done('bob opens vfio0, which is free again');
}

function describe(counters: object): string {
  return Object.entries(counters)
    .map(([name, value]) => `${name} ${value}`)
    .join('  ');
}
