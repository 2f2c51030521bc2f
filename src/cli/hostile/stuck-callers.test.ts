/**
 * Callers that do not go on in the middle of what they have asked for: stopped, killed, or with memory whose
 * missing pages nobody provides. The server goes on, and so do others; what was asked for ends as if its
 * caller waited.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Status } from '../../devices/dsa/descriptor.js';
import { type Actor, eventually, rulesOn } from '../../testkit/actor.js';
import {
  DsaContext,
  DsaFile,
  fillDescriptor,
  IOVA,
  PAGE,
  READ_WRITE_FIXED,
} from '../../testkit/dsa-actor.js';
import { iommufdNumber } from '../../uapi/iommufd.js';

const UNMAP_ALL = 1;
/** So many mappings take tens of slices to go. */
const DOUBLINGS = 16;
const ADDRESS = '0x200000000';
const PROCESS_IOVA = 0x4000_0000;
/** The device reports a page that is not there. */
const FAULTED = Status.PAGE_FAULT | Status.WRITE_FAULT;

const rule = await rulesOn({ devices: ['dsa,mdevs=2'] });
/** Without a privilege the kernel's own accesses of such memory fail at once. */
const withoutPrivilege = process.geteuid?.() === 0 ? false : 'needs root for a userfaultfd';

/** A child with a context that has 2^DOUBLINGS mappings, and what it does to it in slices. */
async function burdened(actor: Actor): Promise<{ child: Actor; commands: readonly string[] }> {
  const child = await actor.fork();
  const { fd, pasid } = await DsaContext.open(child);
  for (let n = 0; n < DOUBLINGS; n++) {
    const bytes = PAGE * 2 ** n;
    await child.words(`copy ${fd} ${pasid} ${pasid} ${IOVA} ${bytes} ${READ_WRITE_FIXED} ${IOVA + bytes}`);
  }
  const other = await child.do(`alloc ${fd} 0`);
  return {
    child,
    commands: [
      `unmap ${fd} ${pasid} 0 0 ${UNMAP_ALL}`,
      `unmap ${fd} ${pasid} ${IOVA} ${PAGE * 2 ** DOUBLINGS}`,
      `copy ${fd} ${other} ${pasid} ${IOVA} ${PAGE * 2 ** DOUBLINGS} ${READ_WRITE_FIXED} ${IOVA}`,
      `free ${fd} ${pasid}`,
      `close ${fd}`,
    ],
  };
}

/** Another process is served: it opens, maps, has a device do DMA, and closes. */
async function othersAreServed(actor: Actor): Promise<void> {
  const other = await actor.fork();
  const context = await DsaContext.open(other);
  const device = await DsaFile.open(other, 'vfio1');
  await other.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  await device.submit(fillDescriptor(context.pasid, IOVA + 64, 64, 0xa5, IOVA));
  assert.equal((await context.memory.completion(0)).status, Status.SUCCESS);
  await actor.exit(other);
}

rule('a call in slices whose caller is stopped ends, and others are served meanwhile', async (actor) => {
  for (const n of [0, 1, 2, 3, 4]) {
    const { child, commands } = await burdened(actor);
    const pid = await child.pid();
    await actor.post(child, commands[n]!);
    await sleep(n);
    process.kill(pid, 'SIGSTOP');
    try {
      await othersAreServed(actor);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    assert.match(await actor.collect(child), /^ok/, commands[n]);
    await actor.exit(child);
  }
  await eventually(() => actor.run.isEmpty(), 'nothing is left');
});

rule('a call in slices whose caller is killed ends, whichever it is', async (actor) => {
  for (let n = 0; n < 15; n++) {
    const { child, commands } = await burdened(actor);
    await actor.post(child, commands[n % commands.length]!);
    await sleep(n % 4);
    await actor.startKill(child);
    await othersAreServed(actor);
    await actor.endKill(child);
    await eventually(() => actor.run.isEmpty(), `nothing is left of ${commands[n % commands.length]}`);
  }
});

rule(
  'a struct in memory whose missing pages nobody provides is EFAULT, and others are served',
  async (actor) => {
    const child = await actor.fork();
    const iommu = await child.do('open /dev/iommu');
    const device = await DsaFile.open(child);
    await child.words(`mmap ${PAGE} ${ADDRESS}`);
    await child.words(`uffd ${ADDRESS} ${PAGE}`);
    await child.refused(`ioctlat ${iommu} ${iommufdNumber('IOMMU_IOAS_ALLOC')} ${ADDRESS}`, 'EFAULT');
    await child.refused(`ioctlat ${device.fd} 0x3b6b ${ADDRESS}`, 'EFAULT');
    await othersAreServed(actor);
  },
  withoutPrivilege,
);

rule(
  'a DMA to memory whose missing pages nobody provides faults, and others are served',
  async (actor) => {
    const child = await actor.fork();
    const context = await DsaContext.open(child);
    const device = await DsaFile.open(child);
    await child.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
    await child.words(`mmap ${4 * PAGE} ${ADDRESS}`);
    await child.words(`uffd ${ADDRESS} ${4 * PAGE}`);
    const range = `${context.fd} ${context.pasid} ${ADDRESS} ${4 * PAGE} ${READ_WRITE_FIXED} ${PROCESS_IOVA}`;
    await child.words(`map ${range}`);
    await child.words(device.submission(fillDescriptor(context.pasid, PROCESS_IOVA, 8, 0x5a, IOVA)));
    assert.equal((await context.memory.completion(0)).status, FAULTED);
    await othersAreServed(actor);
    await actor.kill(child);
  },
  withoutPrivilege,
);

rule(
  'a DMA to a hole of a file that its owner has mapped so waits for nobody, and is done',
  async (actor) => {
    const child = await actor.fork();
    const context = await DsaContext.open(child);
    const device = await DsaFile.open(child);
    await child.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
    const file = await child.do(`memfd ${4 * PAGE}`);
    const address = await child.do(`mmapfd ${file} 0 ${4 * PAGE}`);
    await child.words(`uffd ${address} ${4 * PAGE}`);
    const range = `${file} 0 ${4 * PAGE} ${READ_WRITE_FIXED} ${PROCESS_IOVA}`;
    await child.words(`mapfile ${context.fd} ${context.pasid} ${range}`);
    await child.words(device.submission(fillDescriptor(context.pasid, PROCESS_IOVA + PAGE, 8, 0x5a, IOVA)));
    assert.equal((await context.memory.completion(0)).status, Status.SUCCESS);
    assert.deepEqual(await child.words(`pread ${file} ${PAGE} 8`), ['5a'.repeat(8)]);
    await othersAreServed(actor);
  },
  withoutPrivilege,
);
