import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { DeviceHost, DeviceModel, PciDescription } from '../devices/device-model.js';
import { finish, finished } from '../file/work.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { NO_PASID, vpasidOf } from '../iommu/pasid.js';
import type { IommufdContext } from '../iommufd/context.js';
import { HWPT_DIRTY_TRACKING, HWPT_PASID } from '../iommufd/hwpt.js';
import type { Ioas } from '../iommufd/ioas.js';
import { PagingHwpt } from '../iommufd/paging-hwpt.js';
import { IommufdSubsystem } from '../iommufd/subsystem.js';
import { UserData } from '../iommufd/user-data.js';
import { dirtyPages } from '../testkit/dirty-pages.js';
import { FakeCaller } from '../testkit/fake-caller.js';
import { everything, FakeModel, withoutPasids } from '../testkit/fake-model.js';
import { refused } from '../testkit/refused.js';
import { vfioFile } from '../testkit/vfio-file.js';
import { CONFIG_REGION, type VfioDevice } from './device.js';
import { makeDevices } from './make-devices.js';

const DATA = Uint8Array.of(1, 2, 3, 4);
const PAGE = 4096;

/** Two mdevs of one parent, open and with bus mastering on. */
function setUp(mdevPci: PciDescription = everything, parentPci: PciDescription = everything, quota = 100) {
  const iommu = new Iommu();
  const ioasid = new IoasidSubsystem(iommu, quota);
  const system = new IommufdSubsystem(iommu);
  const models: FakeModel[] = [];
  const create = (_index: number, host: DeviceHost) => {
    const model = new FakeModel(host, mdevPci);
    models.push(model);
    return model;
  };
  const make = (host: DeviceHost): DeviceModel =>
    Object.assign(new FakeModel(host, parentPci), { mdev: { max: 2, create } });
  const request = { rid: '0000:6a:01.0', make, mdevs: 2, firstIndex: 0 };
  const devices = makeDevices(iommu, ioasid.pasids, request) as [VfioDevice, VfioDevice];
  devices.forEach(opened);
  return { iommu, pasids: ioasid.pasids, system, devices, models };
}

function opened(device: VfioDevice): void {
  device.life.open(1);
  device.writeRegion(CONFIG_REGION, 4, Uint8Array.of(6, 0));
}

/** An IOAS with a page of memory at 0. */
function filled(context: IommufdContext): { ioas: Ioas; bytes: Uint8Array } {
  const ioas = context.allocIoas();
  const bytes = new Uint8Array(PAGE);
  const request = { length: BigInt(PAGE), access: READ | WRITE, iova: 0n };
  finished(ioas.map(request, 0n, { memory: new BufferMemory(bytes), offset: 0 }));
  return { ioas, bytes };
}

/** A page table of `ioas` for device `id`, fit for PASIDs. */
function tableFor(context: IommufdContext, id: number, ioas: Ioas, flags = HWPT_PASID): PagingHwpt {
  const hwpt = finish(context.allocHwpt(id, ioas.id, flags, new UserData(new FakeCaller(), 0, 0, 0), 0));
  assert.ok(hwpt instanceof PagingHwpt);
  return hwpt;
}

describe('a mediated device that is bound to an iommufd', () => {
  it('has as many PASIDs attached as a context may have, then ENOSPC, and no other is short of them', () => {
    const { pasids, system, devices } = setUp(everything, everything, 3);
    const context = system.open(1);
    const [hwpt, other] = devices.map((device) =>
      tableFor(context, device.bind(context), context.allocIoas()),
    );
    for (const vpasid of [1, 7, 8]) finish(devices[0].attach(hwpt!.id, vpasidOf(vpasid)));
    assert.throws(() => finish(devices[0].attach(hwpt!.id, vpasidOf(9))), {
      code: 'ENOSPC',
      reason: 'the device has reached its quota of 3 PASIDs that are attached',
    });
    assert.equal(pasids.used, 3);
    finish(devices[1].attach(other!.id, vpasidOf(9)));
    finish(devices[0].detach(vpasidOf(8)));
    finish(devices[0].attach(hwpt!.id, vpasidOf(9)));
    finish(devices[0].close());
    assert.equal(pasids.used, 1);
  });

  it('finds no page table in its own id: ENOENT, and EINVAL of a whole function', () => {
    const { system, devices } = setUp();
    const context = system.open(1);
    const id = devices[0].bind(context);
    refused(() => finish(devices[0].attach(id, NO_PASID)), 'ENOENT', /a device cannot be attached to/);
    const whole = vfioFile().device;
    const other = new IommufdSubsystem(new Iommu()).open(1);
    const own = whole.bind(other);
    refused(() => finish(whole.attach(own, NO_PASID)), 'EINVAL', /a device cannot be attached to/);
  });

  it('is given a PASID of the system for each attachment, and gives it back when detached or closed', () => {
    const { pasids, system, devices, models, iommu } = setUp();
    const [a, b] = [system.open(1), system.open(2)];
    const [first, second] = [filled(a), filled(b)];
    const tables = [
      tableFor(a, devices[0].bind(a), first.ioas),
      tableFor(b, devices[1].bind(b), second.ioas),
    ] as const;
    assert.equal(pasids.used, 0, 'a binding alone takes none');
    finish(devices[0].attach(tables[0].id, vpasidOf(1)));
    finish(devices[1].attach(tables[1].id, vpasidOf(1)));
    finish(devices[1].attach(tables[1].id, vpasidOf(2)));
    assert.equal(pasids.used, 3);
    assert.deepEqual(
      [...devices[1].life.authorizations()].map(({ vpasid, context }) => [vpasid, context]),
      [
        [1, undefined],
        [2, undefined],
      ],
    );
    assert.equal(models[0]!.host.dma.write(1, 0, DATA), undefined);
    assert.deepEqual([first.bytes[0], second.bytes[0]], [1, 0]);
    assert.equal(
      models[0]!.host.dma.write(2, 0, DATA)?.reason,
      'nothing is attached for PASID 2 of mdev vfio0',
    );
    finish(devices[1].detach(vpasidOf(2)));
    finish(devices[1].detach(vpasidOf(2)));
    assert.equal(pasids.used, 2);
    for (const device of devices) finish(device.close());
    assert.equal(pasids.used, 0);
    assert.equal([...devices[1].life.authorizations()].length, 0);
    for (const context of [a, b]) finished(context.close());
    assert.deepEqual([[...system.contexts()].length, iommu.tables.slotCount, iommu.memories.size], [0, 0, 0]);
  });

  it('keeps its PASID when an attachment is replaced, and faults carry the number the program knows', () => {
    const { pasids, system, devices, models } = setUp();
    const context = system.open(1);
    const [one, other] = [filled(context), filled(context)];
    const id = devices[0].bind(context);
    finish(devices[0].attach(tableFor(context, id, one.ioas).id, vpasidOf(900)));
    const before = [...devices[0].life.authorizations()];
    finish(devices[0].attach(tableFor(context, id, other.ioas).id, vpasidOf(900)));
    assert.deepEqual([...devices[0].life.authorizations()], before);
    assert.equal(pasids.used, 1);
    assert.equal(models[0]!.host.dma.write(900, 0, DATA), undefined);
    assert.deepEqual([one.bytes[0], other.bytes[0]], [0, 1]);
    const fault = models[0]!.host.dma.read(900, PAGE, new Uint8Array(4))!;
    assert.deepEqual([fault.pasid, fault.iova], [900, PAGE]);
    assert.notEqual(before[0]?.pasid, 900);
  });

  it('that issues requests without PASID has them translated by an attachment of its own', () => {
    const { pasids, system, devices, models } = setUp(withoutPasids);
    const [a, b] = [system.open(1), system.open(2)];
    const [first, second] = [filled(a), filled(b)];
    devices[0].bind(a);
    const id = devices[1].bind(b);
    finish(devices[0].attach(first.ioas.id, vpasidOf(0)));
    assert.equal(
      models[1]!.host.dma.write(0, 0, DATA)?.reason,
      'nothing is attached for requests without PASID of mdev vfio1',
    );
    finish(devices[1].attach(second.ioas.id, vpasidOf(0)));
    models[1]!.host.dma.write(0, 8, DATA);
    assert.deepEqual([first.bytes[8], second.bytes[8], pasids.used], [0, 1, 2]);
    refused(
      () => finish(devices[1].attach(tableFor(b, id, second.ioas).id, vpasidOf(1))),
      'EOPNOTSUPP',
      /0 bits/,
    );
    refused(
      () =>
        second.ioas.map({ length: 4096n, access: READ, iova: 0xfee0_0000n }, 0n, {
          memory: new BufferMemory(DATA),
          offset: 0,
        }),
      'EINVAL',
      /reserved/,
    );
    finish(devices[0].detach(vpasidOf(0)));
    assert.notEqual(models[0]!.host.dma.write(0, 0, DATA), undefined);
    assert.equal(models[1]!.host.dma.write(0, 0, DATA), undefined);
  });

  it('refuses a PASID wider than its own, and when none is left (ENOSPC) all is as it was', () => {
    const { pasids, system, devices, models } = setUp({ ...everything, pasidBits: 4 });
    const context = system.open(1);
    const { ioas } = filled(context);
    const id = devices[0].bind(context);
    const hwpt = tableFor(context, id, ioas);
    assert.equal(finish(devices[0].attach(hwpt.id, vpasidOf(15))), hwpt.id);
    refused(() => finish(devices[0].attach(hwpt.id, vpasidOf(16))), 'EINVAL', /PASIDs of 4 bits/);
    const taken = Array.from({ length: 2 ** 20 - 2 }, () => pasids.alloc());
    refused(() => finish(devices[0].attach(hwpt.id, vpasidOf(1))), 'ENOSPC', /all 1048575 PASIDs/);
    refused(() => finish(devices[0].attach(hwpt.id, vpasidOf(0))), 'ENOSPC');
    assert.deepEqual([hwpt.users, [...devices[0].life.authorizations()].length], [1, 1]);
    const fixed = { length: 4096n, access: READ, iova: 0xfee0_0000n };
    finished(ioas.map(fixed, 0n, { memory: new BufferMemory(new Uint8Array(PAGE)), offset: 0 }));
    assert.notEqual(models[0]!.host.dma.write(1, 0, DATA), undefined);
    finish(devices[0].attach(tableFor(context, id, filled(context).ioas).id, vpasidOf(15)));
    pasids.free(taken.pop()!);
    finish(devices[0].attach(hwpt.id, vpasidOf(1)));
    assert.equal(models[0]!.host.dma.write(1, 0, DATA), undefined);
  });

  it('is refused a PASID of the system that its parent cannot send: ENOSPC', () => {
    const { pasids, system, devices } = setUp(
      { ...everything, pasidBits: 3 },
      { ...everything, pasidBits: 3 },
    );
    const context = system.open(1);
    const hwpt = tableFor(context, devices[0].bind(context), filled(context).ioas);
    for (let taken = 0; taken < 6; taken++) pasids.alloc();
    finish(devices[0].attach(hwpt.id, vpasidOf(5)));
    refused(() => finish(devices[0].attach(hwpt.id, vpasidOf(6))), 'ENOSPC', /PASID 8, .* wider than 3 bits/);
    assert.equal(pasids.used, 7);
  });

  it('drains by the number the program knows before it is detached, and resets what is never done', () => {
    const { pasids, system, devices, models } = setUp();
    const context = system.open(1);
    const { ioas, bytes } = filled(context);
    finish(devices[0].attach(tableFor(context, devices[0].bind(context), ioas).id, vpasidOf(5)));
    models[0]!.queue.push({ pasid: 5, iova: 0, write: true, buffer: DATA });
    finish(devices[0].detach(vpasidOf(5)));
    assert.deepEqual(bytes.subarray(0, 4), DATA);
    finish(
      devices[0].attach(
        [...context.objects.values()].find((each) => each instanceof PagingHwpt)!.id,
        vpasidOf(5),
      ),
    );
    models[0]!.stuck = true;
    models[0]!.queue.push({ pasid: 5, iova: 8, write: true, buffer: DATA });
    const { resets } = models[0]!;
    finish(devices[0].detach(vpasidOf(5)));
    assert.deepEqual([models[0]!.resets, bytes[8], pasids.used], [resets + 1, 0, 0]);
  });

  it('has what it writes recorded in the log of its own page table', () => {
    const { system, devices, models } = setUp();
    const context = system.open(1);
    const { ioas } = filled(context);
    const tables = devices.map((device) =>
      tableFor(context, device.bind(context), ioas, HWPT_PASID | HWPT_DIRTY_TRACKING),
    );
    for (const [index, device] of devices.entries()) finish(device.attach(tables[index]!.id, vpasidOf(1)));
    for (const { dirty } of tables) dirty!.enabled = true;
    models[0]!.host.dma.write(1, 0, DATA);
    assert.deepEqual(
      tables.map(({ dirty }) => dirtyPages(dirty!)),
      [[0], []],
    );
  });

  it('reaches what a list of attachments says, through any attach, replace, detach and close', () => {
    const step = fc.record({
      device: fc.constantFrom(0, 1),
      act: fc.constantFrom('attach', 'attach', 'detach', 'close'),
      vpasid: fc.nat(3),
      table: fc.constantFrom(0, 1, 2),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { pasids, system, devices, models } = setUp();
        const context = system.open(1);
        const ids = devices.map((device) => device.bind(context));
        const spaces = [0, 1, 2].map(() => filled(context));
        const tables = spaces.map(({ ioas }) => tableFor(context, ids[0]!, ioas));
        const model = [new Map<number, number>(), new Map<number, number>()];
        for (const { device, act, vpasid, table } of steps) {
          if (act === 'attach') {
            finish(devices[device]!.attach(tables[table]!.id, vpasidOf(vpasid)));
            model[device]!.set(vpasid, table);
          } else if (act === 'detach') {
            finish(devices[device]!.detach(vpasidOf(vpasid)));
            model[device]!.delete(vpasid);
          } else {
            finish(devices[device]!.close());
            opened(devices[device]!);
            devices[device]!.bind(context);
            model[device]!.clear();
          }
        }
        assert.equal(pasids.used, model[0]!.size + model[1]!.size);
        for (const device of [0, 1]) {
          for (const vpasid of [0, 1, 2, 3]) {
            for (const { bytes } of spaces) bytes[0] = 0;
            models[device]!.host.dma.write(vpasid, 0, DATA);
            const reached = spaces.findIndex(({ bytes }) => bytes[0] === 1);
            assert.equal(reached, model[device]!.get(vpasid) ?? -1);
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});
