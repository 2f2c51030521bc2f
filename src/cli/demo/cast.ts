/**
 * The cast: what alice and bob have in their hands when the story begins. All of it can be had without asking
 * anybody.
 */
import { Area } from './area.js';
import type { Vm } from './vm.js';
import type { World } from './world.js';

const ALICES_BYTES = 16 << 20;
const BOBS_BYTES = 64 << 10;

/** A VM, its context, one PASID in it, and memory that is mapped there. */
export interface Role {
  readonly vm: Vm;
  readonly ioasid: number;
  readonly pasid: number;
  readonly area: Area;
}

export interface Cast {
  readonly alice: Role & { readonly vfio0: number };
  /** He has a second PASID, with other memory. */
  readonly bob: Role & {
    readonly vfio1: number;
    readonly vfio2: number;
    readonly secondPasid: number;
    readonly secondArea: Area;
  };
  /** Requester ids of vfio0 and of the function of the mdevs. */
  readonly rids: { readonly vfio0: string; readonly mdevs: string };
}

async function newRole(vm: Vm, bytes: number): Promise<Role> {
  const ioasid = await vm.openIoasid();
  return { vm, ioasid, ...(await newSpace(vm, ioasid, bytes)) };
}

/** A new PASID with new memory in it. */
export async function newSpace(
  vm: Vm,
  ioasid: number,
  bytes: number,
): Promise<{ pasid: number; area: Area }> {
  const pasid = await vm.alloc(ioasid);
  const area = await Area.make(vm, bytes);
  await area.map(ioasid, pasid);
  return { pasid, area };
}

export async function makeCast(world: World): Promise<Cast> {
  const alice = await newRole(world.alice, ALICES_BYTES);
  const bob = await newRole(world.bob, BOBS_BYTES);
  const second = await newSpace(world.bob, bob.ioasid, BOBS_BYTES);
  const { devices } = await world.state();
  return {
    alice: { ...alice, vfio0: await world.alice.openDevice(0) },
    bob: {
      ...bob,
      vfio1: await world.bob.openDevice(1),
      vfio2: await world.bob.openDevice(2),
      secondPasid: second.pasid,
      secondArea: second.area,
    },
    rids: { vfio0: devices[0]!.rid, mdevs: devices[1]!.rid },
  };
}
