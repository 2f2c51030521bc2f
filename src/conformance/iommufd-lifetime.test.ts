/** What holds what: objects, contexts and open devices, closed and destroyed in every order. */
import assert from 'node:assert/strict';
import { Iommufd } from '../client/iommufd.js';
import { refusal, refused } from '../testkit/refused.js';
import { Bound, NO_PASID } from './bound.js';
import { Checksum, DATA_IOVA, FAULT } from './checksum.js';
import { eventually, PAGE, rulesOf } from './rule.js';

/** Destroys as soon as what used it has gone: the close of another file is done a moment after it returns. */
function destroyed(iommufd: Iommufd, id: number): void {
  eventually(() => {
    const error = refusal(() => iommufd.destroy(id));
    assert.ok(error === undefined || error.code === 'EBUSY', error?.message);
    return error === undefined;
  }, `object ${id} can be destroyed`);
}

const rule = rulesOf('iommufd');

rule('what others refer to cannot be destroyed: EBUSY, from the bottom up', (transport) => {
  const bound = new Bound(transport);
  const hwpt = bound.iommufd.hwptAlloc(bound.id, bound.ioas);
  refused(() => bound.iommufd.destroy(bound.ioas), 'EBUSY', new RegExp(`IOAS ${bound.ioas} is in use`));
  refused(() => bound.iommufd.destroy(bound.id), 'EBUSY', /bound/);
  bound.device.attach(hwpt);
  refused(() => bound.iommufd.destroy(hwpt), 'EBUSY', new RegExp(`HWPT ${hwpt} is in use`));
  assert.ok(bound.reaches(), 'a refused DESTROY changes nothing');
  bound.device.detach();
  bound.iommufd.destroy(hwpt);
  bound.iommufd.destroy(bound.ioas);
  for (const id of [hwpt, bound.ioas, 0, 4711, 0xffff_ffff])
    refused(() => bound.iommufd.destroy(id), 'ENOENT', new RegExp(`${id}`));
  bound.close();
});

rule(
  'an IOAS with mappings can be destroyed while nothing is attached, and its memory is released',
  (transport) => {
    const bound = new Bound(transport);
    bound.iommufd.destroy(bound.ioas);
    refused(() => bound.iommufd.unmapAll(bound.ioas), 'ENOENT', /no object/);
    const again = bound.iommufd.ioasAlloc();
    assert.equal(bound.iommufd.unmapAll(again), 0n);
    bound.close();
  },
);

rule('the iommufd may be closed first: the device goes on until its own last close', (transport) => {
  const bound = new Bound(transport);
  bound.device.attach(bound.ioas);
  bound.iommufd.close();
  assert.ok(bound.reaches());
  const second = Iommufd.open(transport);
  const ids = [second.ioasAlloc(), second.ioasAlloc(), second.ioasAlloc(), second.ioasAlloc()];
  refused(() => bound.device.attach(Math.max(...ids)), 'ENOENT', /no object/);
  refused(() => bound.device.bind(second), 'EINVAL', /bound/);
  second.close();
  bound.checksum.close();
});

rule('the device may be closed first: it is unbound and detached, and the context stays', (transport) => {
  const bound = new Bound(transport);
  const hwpt = bound.iommufd.hwptAlloc(bound.id, bound.ioas);
  bound.device.attach(hwpt);
  bound.checksum.close();
  destroyed(bound.iommufd, hwpt);
  refused(() => bound.iommufd.hwInfo(bound.id), 'ENOENT');
  const again = new Checksum(transport);
  again.device.bind(bound.iommufd);
  assert.equal(again.run(NO_PASID), undefined, 'the attachment was of the file that is closed');
  again.device.attach(bound.ioas);
  bound.iommufd.close();
  again.close();
});

rule('dup shares the context, and closing one of several copies changes nothing', (transport) => {
  const bound = new Bound(transport);
  const copy = new Iommufd(transport, transport.dup(bound.iommufd.fd));
  bound.iommufd.close();
  bound.device.attach(bound.ioas);
  assert.ok(bound.reaches());
  copy.unmap(bound.ioas, DATA_IOVA, PAGE);
  assert.equal(bound.checksum.run(NO_PASID)?.status, FAULT);
  copy.close();
  bound.checksum.close();
});
