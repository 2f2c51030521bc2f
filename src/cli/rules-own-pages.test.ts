/**
 * The pages of our own files. A device file has none, but the kernel lets a program map one all the same,
 * privately, and after a write to it believes that it has bytes there. To touch such a page is a request to
 * the server, and when it is the server that touches it, on behalf of a DMA or of an ioctl, only somebody
 * else can answer.
 */
import assert from 'node:assert/strict';
import { Status } from '../devices/dsa/descriptor.js';
import { type Actor, rulesOn } from '../testkit/actor.js';
import { DsaContext, DsaFile, fillDescriptor, IOVA, PAGE, READ_WRITE_FIXED } from '../testkit/dsa-actor.js';
import { runner } from '../testkit/processes.js';

const { SUCCESS } = Status;
const WRITE_FAULT = Status.PAGE_FAULT | Status.WRITE_FAULT;
const ADDRESS = '0x200000000';
const PROCESS_IOVA = 0x4000_0000;
const PAGES = 4;
/** VFIO_DEVICE_GET_INFO, whose struct lies at an address. */
const GET_INFO = 0x3b6b;

async function prepared(actor: Actor): Promise<{ context: DsaContext; device: DsaFile }> {
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  await actor.words(`mmap ${PAGES * PAGE} ${ADDRESS}`);
  await actor.words(
    `map ${context.fd} ${context.pasid} ${ADDRESS} ${PAGES * PAGE} ${READ_WRITE_FIXED} ${PROCESS_IOVA}`,
  );
  return { context, device };
}

const rule = await rulesOn({ devices: ['dsa,mdevs=2'], runner });

const status = async ({ context, device }: { context: DsaContext; device: DsaFile }, page: number) => {
  await context.memory.clear(0, 32);
  await device.submit(fillDescriptor(context.pasid, PROCESS_IOVA + page * PAGE, 8, 0x5a, IOVA));
  return (await context.memory.completion(0)).status;
};

rule(`a DMA to a page of a device file is a fault, and the rest goes on (${runner.name})`, async (actor) => {
  const both = await prepared(actor);
  assert.equal(await status(both, 0), SUCCESS);
  await actor.words(`mapover ${both.device.fd} 0 ${2 * PAGE} ${ADDRESS}`);
  for (let round = 0; round < 3; round++) {
    assert.equal(await status(both, 0), WRITE_FAULT);
    assert.equal(await status(both, 1), WRITE_FAULT);
    assert.equal(await status(both, 2), SUCCESS);
  }
});

rule(`an ioctl whose struct is on a page of a device file is refused (${runner.name})`, async (actor) => {
  const { device } = await prepared(actor);
  await actor.words(`mapover ${device.fd} 0 ${PAGE} ${ADDRESS}`);
  assert.equal(await actor.ask(`ioctlat ${device.fd} ${GET_INFO} ${ADDRESS}`), 'err EFAULT');
});

rule(
  `a process that touches a page of a device file gets SIGBUS, and no register is read (${runner.name})`,
  async (actor) => {
    const { device } = await prepared(actor);
    await actor.words(`mapover ${device.fd} 0 ${PAGE} ${ADDRESS}`);
    assert.equal(await actor.ask(`peek ${ADDRESS} 4`), 'err EFAULT');
  },
);

rule(
  `requests of others that come while the server is caught are served, in their order (${runner.name})`,
  async (actor) => {
    const both = await prepared(actor);
    await actor.words(`mapover ${both.device.fd} 0 ${PAGE} ${ADDRESS}`);
    const other = await actor.fork();
    await actor.post(other, 'repeat 200 open /dev/vfio/devices/vfio1 ; close $');
    for (let round = 0; round < 5; round++) assert.equal(await status(both, 0), WRITE_FAULT);
    assert.equal(await actor.collect(other), `ok 200 ok/ok=200`);
  },
);
