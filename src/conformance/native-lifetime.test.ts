/** Which file may be closed first, and what is gone then. */
import assert from 'node:assert/strict';
import { Ioasid } from '../client/ioasid.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { refused } from '../testkit/refused.js';
import { Checksum, DONE } from './checksum.js';
import { withChecksum } from './native.js';
import { eventually, rulesOf } from './rule.js';

const rule = rulesOf('ioasid');

rule('dup shares the context, and closing one of several copies changes nothing', (transport) => {
  const checksum = new Checksum(transport);
  const ioasid = Ioasid.open(transport);
  const copy = new Ioasid(transport, transport.dup(ioasid.fd));
  const pasid = ioasid.alloc();
  checksum.map(copy, pasid);
  ioasid.close();
  checksum.device.authorize(copy, pasid);
  const device = new VfioDeviceFile(transport, transport.dup(checksum.device.fd));
  device.close();
  assert.equal(checksum.run(pasid)?.status, DONE);
  assert.equal(copy.info().pasids, 1);
  copy.close();
  checksum.close();
});

rule('the ioasid FD may be closed first: the device goes on until its own FD is closed', (transport) => {
  const { checksum, ioasid, pasid } = withChecksum(transport);
  checksum.map(ioasid, pasid);
  checksum.device.authorize(ioasid, pasid);
  ioasid.close();
  assert.equal(checksum.run(pasid)?.status, DONE);
  checksum.close();
});

rule('the device FD may be closed first: that revokes, and the context stays', (transport) => {
  const { checksum, ioasid, pasid } = withChecksum(transport);
  checksum.map(ioasid, pasid);
  checksum.device.authorize(ioasid, pasid);
  checksum.close();
  eventually(() => {
    try {
      ioasid.free(pasid);
      return true;
    } catch {
      return false;
    }
  }, 'the revocation by close');
  const again = new Checksum(transport);
  assert.equal(again.run(pasid), undefined);
  ioasid.close();
  again.close();
});

rule('a device file can be open once', (transport) => {
  const checksum = new Checksum(transport);
  refused(() => VfioDeviceFile.open(transport, 'vfio0'), 'EBUSY');
  checksum.close();
});
