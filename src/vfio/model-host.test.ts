/** What a model is given: it calls this for each DMA and each interrupt. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import type { DeviceHost } from '../devices/device-model.js';
import { PasidSpace } from '../ioasid/pasid-space.js';
import { Iommu } from '../iommu/iommu.js';
import { FakeModel } from '../testkit/fake-model.js';
import { makeDevices } from './make-devices.js';

/** The hosts of three devices. */
function hosts(): DeviceHost[] {
  const found: DeviceHost[] = [];
  const make = (host: DeviceHost) => {
    found.push(host);
    return new FakeModel(host);
  };
  const iommu = new Iommu();
  for (const n of [0, 1, 2])
    makeDevices(iommu, new PasidSpace(), { rid: `0000:6a:0${n}.0`, make, mdevs: 0, firstIndex: n });
  return found;
}

test('a host is an object and no dictionary, however many devices there are', () => {
  setFlagsFromString('--allow-natives-syntax');
  const isObject = new Function('object', 'return %HasFastProperties(object)') as (object: object) => boolean;
  assert.deepEqual(hosts().map(isObject), [true, true, true]);
});

test('what a model takes out of its host works as it does on it', () => {
  const [host] = hosts();
  const { interrupt, intx, note, now, after, link, memory, messages } = host!;
  interrupt(3);
  intx(true);
  note('said');
  after(5, () => undefined)();
  assert.equal(now(), host!.now());
  assert.equal(link('wire').receive(), undefined);
  assert.deepEqual([memory(4096).length, messages], [4096, false]);
  assert.throws(() => interrupt(99), /vector 99 was raised, and its vectors are 0 to 8/);
});
