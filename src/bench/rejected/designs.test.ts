import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DesignMaker, FdCentric, mended, posted, SetsAndNotifiers } from './designs.js';
import { search } from './isolation.js';
import { watched } from './scenario.js';

const RUNS = 300;
/** One sequence is asked for all that can be wrong. */
const ANY = ['foreign', 'unasked', 'lost'] as const;
const ours: DesignMaker = (devices, siblings) => new FdCentric(devices, siblings);
const asPosted: DesignMaker = (devices, siblings) => new SetsAndNotifiers(posted, devices, siblings);
const asMended: DesignMaker = (devices, siblings) => new SetsAndNotifiers(mended, devices, siblings);

describe('the FD-centric design', () => {
  it('reaches in any sequence what was authorized, nothing foreign, and nothing unasked', () => {
    assert.equal(search(ours, ANY, RUNS), undefined);
  });

  it('calls down only: no layer is entered again while it is at work, and none in both orders', () => {
    const { reentries, inversions, depth } = watched(ours);
    assert.deepEqual([reentries, inversions, depth], [[], [], 2]);
  });
});

describe('the rejected design', () => {
  it('as posted reaches a PASID of another VM of the process, and what only a sibling was bound to', () => {
    const foreign = search(asPosted, ['foreign'], 10_000, 1)!;
    assert.ok(foreign.includes('A allocates a PASID') && foreign.some((step) => step.startsWith('B opens')));
    assert.ok(search(asPosted, ['unasked'], 10_000, 1) !== undefined);
  });

  it('with a token for each VM and events that name their device is as isolated as ours', () => {
    assert.equal(search(asMended, ANY, RUNS), undefined);
  });

  it('calls up: a listener enters the layer that calls it, and layers are entered in both orders', () => {
    for (const make of [asPosted, asMended]) {
      const { reentries, inversions } = watched(make);
      assert.ok(reentries.includes('ioasid.free > driver.heard > ioasid.put'), reentries.join('\n'));
      assert.ok(reentries.includes('driver.bind > ioasid.notify > driver.heard'), reentries.join('\n'));
      assert.deepEqual(inversions, ['driver > ioasid']);
    }
  });
});
