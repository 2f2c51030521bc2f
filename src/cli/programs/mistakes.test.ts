/**
 * Who makes a mistake finds its cause in one line, without having asked for it: what `ioasid run` says at the
 * end. The mistakes are those of tests/python/mistakes.py; each is a run of its own.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ioasid, runner } from '../../testkit/processes.js';

const program = fileURLToPath(new URL('../../../tests/python/mistakes.py', import.meta.url));
const python = spawnSync('python3', ['--version']).status === 0 ? false : 'there is no python3';
const directory = mkdtempSync(join(tmpdir(), 'ioasid-mistakes-'));
after(() => rmSync(directory, { recursive: true }));
const disk = join(directory, 'disk.img');
writeFileSync(disk, new Uint8Array(1 << 20));

const DSA = 'dsa,ready=1';
const EDU = 'edu';
const BLK = `virtio-blk,file=${disk}`;

const mistakes: readonly [name: string, device: string, line: RegExp][] = [
  ['dma_before_authorize', DSA, /^DMA fault: .* is not authorized for PASID 1/],
  ['iova_never_mapped', DSA, /^DMA fault: .* iova 0x7000000 of PASID 1 is not mapped/],
  ['one_page_past_the_end', DSA, /^DMA fault: .* iova 0x[0-9a-f]+000 of PASID 1 is not mapped/],
  ['pasid_of_another_context', DSA, /ENOENT: PASID 2 is not in this context$/],
  ['revoke_of_what_is_not_authorized', DSA, /ENOENT: vfio0 is not authorized for PASID 1$/],
  ['free_while_authorized', DSA, /^\/dev\/ioasid: EBUSY: PASID 1 is authorized for 1 device$/],
  ['map_of_no_memory', DSA, /EFAULT: address 0x10000 is not mapped in process \d+ \(python3\)$/],
  ['map_of_read_only_memory_to_write', DSA, /EFAULT: address 0x.* is mapped without the right to write$/],
  ['unaligned_iova', DSA, /EINVAL: iova 0x1800 is not aligned to the 4 KiB page of PASID 1$/],
  ['unaligned_length', DSA, /EINVAL: length 0x64 is not aligned to the 4 KiB page/],
  ['unaligned_address', DSA, /EINVAL: memory at 0x.*008 of 0x1000 bytes cannot be aligned to the 4 KiB page/],
  ['size_zero', DSA, /EINVAL: IOASID_ALLOC says size 0, which is less than the 24 bytes of struct/],
  ['size_short', DSA, /EINVAL: IOASID_ALLOC says size 4, which is less/],
  ['size_long', DSA, /E2BIG: IOASID_ALLOC has a byte 0x9 at offset 24/],
  ['unknown_flag', DSA, /EOPNOTSUPP: IOASID_ALLOC does not know the flags 0x80$/],
  ['device_fd_for_ioasid', DSA, /EINVAL: fd \d is not \/dev\/ioasid: it is the file of vfio0$/],
  ['iommu_fd_for_ioasid', DSA, /it is \/dev\/iommu, which VFIO_DEVICE_BIND_IOMMUFD takes$/],
  ['memfd_for_ioasid', DSA, /EINVAL: fd \d is not an open device file of this system$/],
  ['authorize_on_the_ioasid_fd', DSA, /^\/dev\/ioasid: ENOTTY: .* IOASID_AUTHORIZE .* for another file$/],
  ['wrong_direction', DSA, /EINVAL: IOASID_ALLOC must be an _IOWR ioctl/],
  ['vpasid_taken', 'dsa,mdevs=1', /EEXIST: vpasid 1 of vfio0 is PASID 1 already$/],
  ['attach_before_bind', EDU, /EINVAL: vfio0 is not bound to an iommufd$/],
  ['map_into_another_ioas', EDU, /^DMA fault: .* iova 0x100000 of PASID 0 is not mapped$/],
  ['unmap_of_a_part', EDU, /ENOENT: iova range 0x100000\+0x1000 would split the mapping at 0x100000/],
  ['iova_in_the_msi_window', EDU, /EINVAL: iova range .* reaches into 0xfee00000 to .*, which is reserved$/],
  ['iova_outside_the_ranges', EDU, /EINVAL: iova range 0x4000000000000000.*, which is reserved$/],
  ['unaligned_user_va', EDU, /EINVAL: the memory at 0x.*008 is not aligned to the 4 KiB page of the IOAS$/],
  ['pasid_attach_without_its_flag', DSA, /EINVAL: HWPT 3 was not allocated for PASIDs$/],
  ['destroy_in_use', EDU, /EBUSY: IOAS 1 is in use by 1 other object$/],
  ['map_dma_before_set_iommu', EDU, /EINVAL: the container has no IOMMU before SET_IOMMU$/],
  ['bus_mastering_off', EDU, /bus mastering is off in the command register of 0000:6a:01\.0$/],
  ['memory_space_off', EDU, /EIO: memory space is off in the command register of vfio0$/],
  ['msi_without_an_eventfd', EDU, /^vfio0: interrupt vector 0 is raised, and it has no eventfd/],
  ['msi_with_bus_mastering_off', EDU, /^vfio0: interrupt vector 0 is raised, and bus mastering is off/],
  ['interrupt_never_acknowledged', EDU, /^vfio0: it is closed while INTx is high, .* not acknowledged/],
  ['not_enabled', 'dsa', /EAGAIN: .* work queue 0 is not enabled: .* `--device dsa,ready=1` comes so/],
  ['pasid_0_in_a_shared_queue', DSA, /^vfio0: PASID 0 does not get into work queue 0/],
  ['completion_address_misaligned', DSA, /its completion record address 0x.*008 is not aligned to 32 bytes$/],
  ['completion_address_not_mapped', DSA, /iova 0x70000[0-9a-f]+ of PASID 1 is not mapped/],
  ['submit_of_32_bytes', DSA, /EINVAL: 32 bytes at 0x0 of BAR 2 of vfio0 are for a portal, which takes 64/],
  ['pasid_that_is_not_attached', DSA, /nothing is attached for PASID 5 of requester 0000:6a:01\.0/],
  ['transfer_above_the_maximum', DSA, /its transfer size 4294967295 is not 1 to 2147483648/],
  ['reserved_flags', DSA, /of its flags 0x80000c those in 0x800000 may not be set here/],
  ['submit_to_a_full_queue', DSA, /EAGAIN: .* work queue 0 is full/],
  ['rings_before_driver_ok', BLK, /^vhost-vdpa-0: queue 0 is kicked before DRIVER_OK, in status 0xb/],
  ['no_iotlb_entry_for_a_ring', BLK, /the available ring cannot be reached at iova 0x100102: nothing/],
  ['kick_without_a_call_fd', BLK, /^vhost-vdpa-0: queue 0 interrupts, and has no eventfd/],
  ['wrong_feature_bits', BLK, /^vhost-vdpa-0: of .* features 0x10+30+ those in 0x10+ are not offered$/],
  ['status_out_of_order', BLK, /^vhost-vdpa-0: the driver is ready without FEATURES_OK, in/],
];

describe(`ioasid run, as ${runner.name}, says at the end of a program`, {
  skip: runner.skip || python,
}, () => {
  it('of each mistake that there is', () => {
    const there = [...readFileSync(program, 'utf8').matchAll(/^def (\w+)\(\):$/gm)].map(([, name]) => name);
    assert.deepEqual(
      mistakes.map(([name]) => name),
      there.filter((name) => !models.has(name!)),
    );
  });

  for (const [name, device, line] of mistakes)
    it(`${name}: ${line.source}`, () => {
      const { status, stderr } = ioasid(['run', '--device', device, '--', 'python3', program, name], runner);
      const said = stderr.split('\n').filter((each) => each.startsWith('ioasid: '));
      assert.equal(said.length, 1, stderr);
      assert.match(said[0]!.slice('ioasid: '.length), line);
      assert.equal(status, 1);
    });
});

/** Of a model's mistakes there are several, made by one program. */
const models = new Set(['use_of_the_model', 'dedicated_write_to_a_shared_queue']);
