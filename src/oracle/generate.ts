/**
 * The generator: fast-check arbitraries for sequences of ioctls on `/dev/iommu` with its test interface.
 *
 * A sequence is a list of steps. A step is a function of the scene, chosen with all its numbers by
 * fast-check, that adds one call (with what the call needs) to it. Most steps act on what the scene has; a
 * few numbers, flags, sizes and pointers are wrong on purpose.
 */
import fc from 'fast-check';
import { descriptor, type Sequence, saved, type Value } from './language.js';
import {
  addDevice,
  addVdevice,
  addViommu,
  allocateHwpt,
  allocateIoas,
  openAccess,
  openFaults,
  SELFTEST_DATA,
  SELFTEST_TYPE,
} from './makers.js';
import { mostly } from './numbers.js';
import { type Device, packed, Scene, type Step } from './scene.js';
import { type Spoil, spoil } from './spoil.js';
import {
  accessPages,
  accessReplace,
  accessRw,
  closeAccess,
  createAccess,
  unpinPages,
} from './steps-access.js';
import {
  addReserved,
  checkMap,
  checkRefs,
  dirty,
  dirtyBitmap,
  hwInfo,
  hwptAlloc,
  mockDevice,
  mockReplace,
  setDirty,
} from './steps-device.js';
import {
  closeEvents,
  eventQueue,
  misuseEvents,
  pollEvents,
  readEvents,
  triggerEvent,
} from './steps-events.js';
import {
  answerFaults,
  closeFaults,
  faultQueue,
  faultTable,
  misuseFaults,
  pollFaults,
  readFaults,
  triggerFault,
} from './steps-faults.js';
import {
  allowIovas,
  changeProcess,
  destroy,
  destroyAny,
  ioasAlloc,
  ioasCopy,
  ioasMap,
  ioasMapFile,
  ioasUnmap,
  iovaRanges,
  noiommuGetPa,
  option,
  unknownCall,
} from './steps-ioas.js';
import {
  attach,
  bind,
  bindMdev,
  closeMdev,
  detach,
  dupMdev,
  mdevFeature,
  mdevInfo,
  misaskInfo,
  openCdev,
  openMdev,
  otherIommufd,
  readNothing,
  refusedCall,
} from './steps-mdev.js';
import {
  anyGroup,
  closeGroup,
  deviceFd,
  getDeviceFd,
  groupStatus,
  joinContainer,
  openGroup,
  setContainer,
  unsetContainer,
  useContainer,
} from './steps-mdev-group.js';
import { invalidate, nestedAlloc } from './steps-nested.js';
import { pasid } from './steps-pasid.js';
import { vfioAsk, vfioInfo, vfioIoas, vfioMap, vfioUnmap } from './steps-vfio.js';
import {
  destroyLatest,
  hwQueue,
  invalidateDevices,
  vdevice,
  viommu,
  viommuWithData,
} from './steps-viommu.js';

export const MAX_STEPS = 30;
/** Flags of HWPT_ALLOC. */
const NEST_PARENT = 1;
const DIRTY_TRACKING = 2;
const PASID = 8;

/** The parts of the ABI, each with its steps and how often they come among those of their part. */
const parts = {
  ioas: [
    [3, ioasAlloc],
    [14, ioasMap],
    [4, ioasMapFile],
    [7, ioasUnmap],
    [5, ioasCopy],
    [7, iovaRanges],
    [3, allowIovas],
    [2, option],
    [4, destroy],
    [1, destroyAny],
    [1, changeProcess],
    [1, noiommuGetPa],
    [1, unknownCall],
  ],
  hwpt: [
    [7, mockDevice],
    [4, mockReplace],
    [7, hwptAlloc],
    [2, hwInfo],
    [3, setDirty],
    [3, dirty],
    [4, dirtyBitmap],
    [4, checkMap],
    [1, addReserved],
  ],
  refs: [[2, checkRefs]],
  access: [
    [4, createAccess],
    [4, accessPages],
    [2, unpinPages],
    [5, accessRw],
    [1, accessReplace],
    [1, closeAccess],
  ],
  pasid: [[6, pasid]],
  compat: [
    [2, vfioIoas],
    [1, vfioAsk],
    [1, vfioInfo],
    [3, vfioMap],
    [3, vfioUnmap],
  ],
  nested: [
    [4, nestedAlloc],
    [3, invalidate],
    [2, viommu],
    [1, viommuWithData],
    [4, vdevice],
    [3, invalidateDevices],
    [4, hwQueue],
    [3, destroyLatest],
  ],
  vevents: [
    [2, eventQueue],
    [6, triggerEvent],
    [6, readEvents],
    [2, pollEvents],
    [1, misuseEvents],
    [1, closeEvents],
  ],
  faults: [
    [2, faultQueue],
    [3, faultTable],
    [5, triggerFault],
    [4, readFaults],
    [3, answerFaults],
    [1, closeFaults],
    [2, pollFaults],
    [1, misuseFaults],
  ],
  cdev: [
    [5, openCdev],
    [8, bind],
    [8, attach],
    [5, detach],
    [1, misaskInfo],
    [1, mdevInfo],
    [2, mdevFeature],
    [2, refusedCall],
    [1, readNothing],
    [1, dupMdev],
    [4, closeMdev],
    [1, otherIommufd],
    [2, destroyAny],
  ],
  groups: [
    [4, anyGroup],
    [5, setContainer],
    [2, unsetContainer],
    [2, groupStatus],
    [5, deviceFd],
    [3, closeGroup],
    [1, useContainer],
    [3, closeMdev],
    [1, openCdev],
    [2, bind],
    [1, attach],
    [1, vfioIoas],
    [1, vfioInfo],
  ],
} as const satisfies Record<string, readonly (readonly [number, fc.Arbitrary<Step>])[]>;

export type Part = keyof typeof parts;
export const partNames = Object.keys(parts) as readonly Part[];

interface SpoiltStep {
  readonly step: Step;
  readonly spoil: Spoil | undefined;
  /** Whether what has run out is made again first. */
  readonly refill: boolean;
}

function stepsOf(chosen: readonly Part[]): fc.Arbitrary<SpoiltStep> {
  const each = chosen.map((part) => ({
    weight: part === 'ioas' ? 3 : 2,
    arbitrary: fc.oneof(
      ...parts[part].map(([weight, arbitrary]) => ({ weight, arbitrary: arbitrary as fc.Arbitrary<Step> })),
    ),
  }));
  return fc.record({
    step: fc.oneof(...each),
    spoil: mostly(fc.constant(undefined), spoil, 14),
    refill: mostly(fc.constant(true), fc.constant(false), 5),
  });
}

/** What a sequence begins with, so that its steps find something to act on. */
interface Start {
  readonly ioases: number;
  readonly ready: boolean;
  readonly hwptFlags: number;
  readonly attached: boolean;
}

const start: fc.Arbitrary<Start> = fc.record({
  ioases: mostly(fc.constantFrom(1, 1, 2), fc.constant(0), 15),
  ready: mostly(fc.constant(true), fc.constant(false), 5),
  hwptFlags: fc.constantFrom(0, 1, 2, 2, 3, 8),
  attached: fc.boolean(),
});

/** Parts that say nothing without a device. */
const onDevices: readonly Part[] = ['hwpt', 'refs', 'pasid', 'nested', 'vevents', 'faults'];

/**
 * Sequences of up to MAX_STEPS steps. Each keeps to one or two of the chosen parts, beside the IOAS's own
 * calls, so that the objects of a part meet.
 */
export function sequences(chosen: readonly Part[]): fc.Arbitrary<Sequence> {
  return fc.subarray([...chosen], { minLength: 1, maxLength: Math.min(2, chosen.length) }).chain((some) => {
    const used: Part[] = [
      ...new Set<Part>([
        'ioas',
        ...some,
        ...(some.some((part) => onDevices.includes(part)) ? (['hwpt'] as const) : []),
        ...(some.includes('vevents') ? (['nested'] as const) : []),
      ]),
    ];
    return fc
      .tuple(start, fc.array(stepsOf(used), { minLength: 1, maxLength: MAX_STEPS, size: 'max' }))
      .map(([first, steps]) => {
        const scene = new Scene();
        prepare(scene, used, first);
        for (const each of steps) add(scene, used, each);
        scene.detachPasids();
        return { name: 'generated', lines: scene.lines };
      });
  });
}

function prepare(scene: Scene, used: readonly Part[], { ioases, ready, hwptFlags, attached }: Start): void {
  for (let n = 0; n < ioases; n++) allocateIoas(scene, 0);
  const [ioas] = scene.ioases;
  if (!ready || ioas === undefined) return;
  if (used.includes('groups')) {
    const group = openGroup(scene, 0);
    joinContainer(scene, group, 'f');
    getDeviceFd(scene, group);
  } else if (used.includes('cdev')) bindMdev(scene, openMdev(scene, 0), { iommufd: descriptor('f') });
  if (used.includes('compat')) scene.call('VFIO_IOAS', { op: 1, ioas_id: saved(ioas) });
  if (used.includes('access')) openAccess(scene, saved(ioas), 1);
  if (!used.includes('hwpt')) return;
  const device = addDevice(scene, saved(ioas), 4);
  const needed = (used.includes('pasid') ? PASID : 0) | (used.includes('nested') ? NEST_PARENT : 0);
  const flags = needed === 0 ? hwptFlags : needed;
  const hwpt = allocateHwpt(scene, { flags, dev_id: saved(device.idev), pt_id: saved(ioas) });
  if (attached || used.includes('pasid'))
    scene.call('TEST_MOCK_DOMAIN_REPLACE', { id: saved(device.stdev), pt_id: saved(hwpt) });
  if (attached && (flags & DIRTY_TRACKING) !== 0)
    scene.call('HWPT_SET_DIRTY_TRACKING', { hwpt_id: saved(hwpt), flags: 1 });
  if (used.includes('nested') && (attached || used.includes('vevents')))
    attachNested(scene, device, hwpt, needed & PASID);
  if (used.includes('faults')) attachFaulting(scene, device, saved(ioas));
}

/** The whole of a virtual IOMMU: a device of its own number in it, attached to a nested table. */
function attachNested(scene: Scene, device: Device, parent: string, flags: number): void {
  addViommu(scene, parent, 0, SELFTEST_TYPE);
  addVdevice(scene, scene.viommus[0], 0x99n);
  const name = scene.name('nested');
  const data_uptr = scene.scratch(packed(4, 0x1234, 0), 0x800);
  const fields = {
    flags,
    dev_id: saved(device.idev),
    pt_id: scene.id(scene.viommus[0]),
    data_type: SELFTEST_DATA,
    data_len: 8,
    data_uptr,
  };
  scene.call('HWPT_ALLOC', fields, { saves: { [name]: 'out_hwpt_id' } });
  scene.nested.push(name);
  scene.call('TEST_MOCK_DOMAIN_REPLACE', { id: saved(device.stdev), pt_id: saved(name) });
}

function attachFaulting(scene: Scene, device: Device, pt_id: Value): void {
  openFaults(scene, 0);
  const hwpt = allocateHwpt(scene, {
    flags: 4,
    dev_id: saved(device.idev),
    pt_id,
    fault_id: scene.id(scene.faults[0]?.id),
  });
  scene.call('TEST_MOCK_DOMAIN_REPLACE', { id: saved(device.stdev), pt_id: saved(hwpt) });
}

function add(scene: Scene, used: readonly Part[], { step, spoil, refill: wanted }: SpoiltStep): void {
  if (wanted) refill(scene, used);
  const before = scene.lines.length;
  step(scene);
  const last = scene.lines.at(-1);
  if (spoil !== undefined && scene.lines.length > before && last?.verb === 'ioctl')
    scene.lines[scene.lines.length - 1] = spoil(last);
}

function refill(scene: Scene, used: readonly Part[]): void {
  if (scene.ioases.length === 0) allocateIoas(scene, 0);
  const ioas = saved(scene.ioases[0]!);
  if (used.includes('hwpt') && scene.devices.length === 0) addDevice(scene, ioas, 4);
  if (used.includes('access') && scene.accesses.length === 0) openAccess(scene, ioas, 1);
  if (used.includes('nested') && scene.viommus.length === 0)
    addViommu(scene, scene.pick(scene.hwpts, 0), 0, SELFTEST_TYPE);
  if (used.includes('faults') && scene.faults.length === 0) openFaults(scene, 0);
}
