/**
 * The rule of both FDs, of a device that is not PCI: its requests go by address space ids, it has no BARs and
 * no configuration space, and another ABI may have it. What PCI adds is tested with the ports and with VFIO.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CalledWork } from '../devices/called-model.js';
import type { DmaFault, WorkingModel } from '../devices/device-model.js';
import { ModelCalls } from '../devices/model-calls.js';
import { finish, finished } from '../file/work.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu, type Requester } from '../iommu/iommu.js';
import { type Pasid, type Vpasid, vpasidOf } from '../iommu/pasid.js';
import { refuse } from '../linux/errno.js';
import { mapped } from '../testkit/mapped.js';
import { refused } from '../testkit/refused.js';
import { Authorizations } from './authorizations.js';
import { DeviceLife } from './device-life.js';
import { blocked, type DevicePort } from './device-port.js';

const SPACES = 4;
const DATA = Uint8Array.of(1, 2, 3, 4);

/** Requests of a device with ASIDs 0 to 3, ASID 0 unless another is asked for. */
class AsidPort implements DevicePort {
  readonly requester: Requester;
  attaches = false;
  readonly mediated = false;
  readonly namesSpaces = true;
  readonly authorizations = new Authorizations();
  readonly #iommu: Iommu;

  constructor(iommu: Iommu) {
    this.#iommu = iommu;
    this.requester = iommu.requester('vdpa0');
  }

  vpasid(_pasid: Pasid, asid = vpasidOf(0)): Vpasid {
    return asid < SPACES ? asid : refuse('EINVAL', `asid ${asid} is none of ${SPACES}`);
  }

  entry(pasid: Pasid): Pasid {
    return pasid;
  }

  enter(): never {
    throw new Error('nothing is attached here');
  }

  leave(): void {}

  read(asid: Vpasid, iova: number, target: Uint8Array): DmaFault | undefined {
    const known = this.authorizations.byVpasid(asid);
    if (known === undefined)
      return blocked(this.#iommu.faults, 'vdpa0', asid, iova, false, `no ASID ${asid}`);
    return this.requester.read(known.pasid, iova, target, 0, target.length);
  }

  write(asid: Vpasid, iova: number, source: Uint8Array): DmaFault | undefined {
    const known = this.authorizations.byVpasid(asid);
    if (known === undefined) return blocked(this.#iommu.faults, 'vdpa0', asid, iova, true, `no ASID ${asid}`);
    return this.requester.write(known.pasid, iova, source, 0, source.length);
  }

  requestPage(): undefined {}

  kept(): undefined {}

  admits(asid: Vpasid): boolean {
    return this.authorizations.byVpasid(asid) !== undefined;
  }
}

/** Writes DATA once per step, to the ASIDs that are queued. */
class AsidModel implements WorkingModel {
  readonly queue: Vpasid[] = [];
  readonly faults: DmaFault[] = [];
  readonly #port: AsidPort;
  resets = 0;
  broken = false;
  stuck = false;

  constructor(port: AsidPort) {
    this.#port = port;
  }

  reset(): void {
    if (this.broken) throw new Error('no way back');
    this.resets++;
    this.queue.length = 0;
  }

  step(): void {
    if (this.broken) throw new Error('out of luck');
    const asid = this.stuck ? undefined : this.queue.shift();
    const fault = asid === undefined ? undefined : this.#port.write(asid, 0, DATA);
    if (fault !== undefined) this.faults.push(fault);
  }

  busy(asid?: Vpasid): boolean {
    return asid === undefined ? this.queue.length > 0 : this.queue.includes(asid);
  }
}

function setUp() {
  const iommu = new Iommu();
  const system = new IoasidSubsystem(iommu);
  const port = new AsidPort(iommu);
  const model = new AsidModel(port);
  const life = new DeviceLife('vdpa0', port, new CalledWork(new ModelCalls('vdpa0'), model));
  life.open(1);
  const context = system.open(1);
  return { iommu, system, port, model, life, context };
}

describe('a device whose address spaces are ASIDs', () => {
  it('reaches each address space by the ASID that it was authorized under, ASID 0 too, and no other', () => {
    const { life, context, port } = setUp();
    const [a, b] = [mapped(context, 0n), mapped(context, 0n)];
    assert.match(port.write(vpasidOf(0), 0, DATA)!.reason, /no ASID 0/);
    life.authorize(context, a.pasid);
    life.authorize(context, b.pasid, vpasidOf(3));
    assert.equal(port.write(vpasidOf(3), 8, DATA), undefined);
    assert.equal(port.write(vpasidOf(0), 0, DATA), undefined);
    assert.deepEqual([a.bytes[0], a.bytes[8], b.bytes[0], b.bytes[8]], [1, 0, 0, 1]);
    assert.match(port.write(vpasidOf(1), 0, DATA)!.reason, /no ASID 1/);
  });

  it('refuses an ASID that is in use (EEXIST) or that it has not (EINVAL), and holds nothing then', () => {
    const { life, context } = setUp();
    const [a, b] = [mapped(context, 0n), mapped(context, 0n)];
    life.authorize(context, a.pasid);
    refused(() => life.authorize(context, b.pasid, vpasidOf(0)), 'EEXIST');
    refused(() => life.authorize(context, b.pasid, vpasidOf(SPACES)), 'EINVAL');
    assert.deepEqual([...life.authorizations()], [{ pasid: a.pasid, vpasid: 0, context, cookie: 0 }]);
    finished(context.free(b.pasid));
  });

  it('drains what goes by the revoked ASID, and leaves the work of the others alone', () => {
    const { life, context, model } = setUp();
    const [a, b] = [mapped(context, 0n), mapped(context, 0n)];
    life.authorize(context, a.pasid);
    life.authorize(context, b.pasid, vpasidOf(1));
    model.queue.push(vpasidOf(0), vpasidOf(1), vpasidOf(1));
    finish(life.revoke(a.pasid));
    assert.deepEqual([a.bytes[0], model.queue.length, model.faults.length], [1, 2, 0]);
    finish(life.revoke(b.pasid));
    assert.deepEqual([b.bytes[0], model.queue.length, model.faults.length], [1, 0, 0]);
  });
});

describe('a device that another ABI has', () => {
  it('cannot be authorized before it is closed: EBUSY, and no reference is held', () => {
    const { life, context } = setUp();
    const { pasid } = mapped(context, 0n);
    life.bind('mapped by its own file');
    assert.equal(life.granted, true);
    refused(() => life.authorize(context, pasid), 'EBUSY', /vdpa0 is mapped by its own file/);
    finished(context.free(pasid));
    finish(life.close());
    life.open(2);
    assert.equal(life.granted, false);
    life.authorize(context, mapped(context, 0n).pasid);
  });

  it('is had by it only while it is authorized for nothing: EBUSY', () => {
    const { life, context } = setUp();
    const { pasid } = mapped(context, 0n);
    life.authorize(context, pasid);
    refused(() => life.bind('mapped by its own file'), 'EBUSY', /authorized for PASIDs/);
    finish(life.revoke(pasid));
    life.bind('mapped by its own file');
  });
});

describe('the work of a model', () => {
  it('that fails is none until it is reset, and each failure is counted', () => {
    const { life, model } = setUp();
    const { work } = life;
    model.queue.push(vpasidOf(0));
    model.broken = true;
    assert.equal(work.busy(), true);
    work.step();
    assert.deepEqual([work.busy(), work.calls.failures], [false, 1]);
    assert.match(work.calls.failure!, /of vdpa0 failed: out of luck/);
    work.reset();
    assert.match(work.calls.failure!, /of vdpa0 failed: no way back/);
    assert.equal(work.calls.failures, 2);
    model.broken = false;
    work.reset();
    assert.deepEqual([work.calls.failure, work.busy(), work.calls.failures], [undefined, false, 2]);
  });

  it('that never gets done is dropped by a drain, which otherwise resets nothing', () => {
    const { life, model } = setUp();
    model.queue.push(vpasidOf(0));
    finish(life.work.drain());
    assert.deepEqual([model.resets, model.faults.length], [0, 1]);
    model.stuck = true;
    model.queue.push(vpasidOf(0));
    finish(life.work.drain());
    assert.deepEqual([model.resets, life.work.busy()], [1, false]);
  });
});
