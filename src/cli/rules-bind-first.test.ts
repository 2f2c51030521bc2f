/**
 * `--bind-first` with a real process: the order of its calls is checked as Linux checks it.
 */
import assert from 'node:assert/strict';
import { CONFIG_REGION } from '../client/vfio-device.js';
import { type Actor, rulesOn } from '../testkit/actor.js';
import { hexadecimal, REGION_SPAN } from '../testkit/dsa-actor.js';
import { DeviceInfoStruct, VFIO_DEVICE_GET_INFO } from '../uapi/vfio.js';
import { BindStruct, VFIO_DEVICE_BIND_IOMMUFD } from '../uapi/vfio-cdev.js';

/** The bytes of a struct with these 32-bit fields. */
function words(size: number, ...fields: readonly number[]): string {
  const data = new Uint8Array(size);
  new Uint32Array(data.buffer).set(fields);
  return hexadecimal(data);
}

const info = (fd: number) =>
  `ioctl ${fd} ${VFIO_DEVICE_GET_INFO} ${words(DeviceInfoStruct.size, DeviceInfoStruct.size)}`;
const vendor = (fd: number) => `pread ${fd} ${CONFIG_REGION * REGION_SPAN} 2`;
const enable = (fd: number) => `pwrite ${fd} ${CONFIG_REGION * REGION_SPAN + 4} 0600`;

async function works(actor: Actor, fd: number): Promise<void> {
  await actor.words(info(fd));
  assert.deepEqual(await actor.words(vendor(fd)), ['3412']);
  await actor.words(enable(fd));
}

async function refused(actor: Actor, fd: number): Promise<void> {
  for (const attempt of [info(fd), vendor(fd), enable(fd), `revoke ${fd} 1`])
    assert.match(await actor.ask(attempt), /^err EINVAL\b/);
}

const rule = await rulesOn({ devices: ['edu'], options: ['--bind-first'] });

rule(
  'before BIND_IOMMUFD everything is EINVAL, after it everything works, in whichever process',
  async (actor) => {
    const fd = await actor.do('open /dev/vfio/devices/vfio0');
    const child = await actor.fork();
    await refused(actor, fd);
    await refused(child, fd);
    const iommufd = await actor.do('open /dev/iommu');
    await actor.words(
      `ioctl ${fd} ${VFIO_DEVICE_BIND_IOMMUFD} ${words(BindStruct.size, BindStruct.size, 0, iommufd)}`,
    );
    await works(actor, fd);
    await works(child, fd);
  },
);

rule('AUTHORIZE opens the file too, until its last close', async (actor) => {
  const fd = await actor.do('open /dev/vfio/devices/vfio0');
  const context = await actor.do('open /dev/ioasid');
  const pasid = await actor.do(`alloc ${context} 0`);
  await refused(actor, fd);
  await actor.words(`authorize ${fd} ${context} ${pasid} 0`);
  await works(actor, fd);
  await actor.words(`revoke ${fd} ${pasid}`);
  await works(actor, fd);
  await actor.words(`close ${fd}`);
  await refused(actor, await actor.do('open /dev/vfio/devices/vfio0'));
});
