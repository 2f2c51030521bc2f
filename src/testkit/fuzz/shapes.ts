/**
 * What ioctls look like, by the struct tables of src/uapi: a number, and the struct that it points to. A
 * struct is filled field by field, by bytes of an input: each field takes what makes sense for its name, or
 * anything.
 */
import { ioctlNumber, nativeIoctls } from '../../uapi/ioasid.js';
import { TestStruct } from '../../uapi/iommu-test/layouts.js';
import { iommufdIoctls, iommufdNumber } from '../../uapi/iommufd.js';
import type { Struct } from '../../uapi/struct.js';
import { setBig, setU16, setU32 } from '../../uapi/struct.js';
import { DeviceInfoStruct, IrqInfoStruct, IrqSetStruct, RegionInfoStruct } from '../../uapi/vfio.js';
import { AttachStruct, BindStruct, DetachStruct } from '../../uapi/vfio-cdev.js';
import {
  GroupStatusStruct,
  MapDmaStruct,
  Type1InfoStruct,
  UnmapDmaStruct,
} from '../../uapi/vfio-container.js';
import { FeatureStruct } from '../../uapi/vfio-feature.js';
import { HotResetStruct } from '../../uapi/vfio-hot-reset.js';
import {
  ConfigStruct,
  IovaRangeStruct,
  VHOST_TYPE,
  VringAddrStruct,
  VringFileStruct,
  VringStateStruct,
} from '../../uapi/vhost.js';
import type { Pieces } from './target.js';

const PAGE = 4096;

export interface Shape {
  readonly number: number;
  /** undefined: the argument is a plain number, or a name, or some bytes. */
  readonly struct: Struct | undefined;
}

const native = (Object.keys(nativeIoctls) as (keyof typeof nativeIoctls)[]).map((name) => ({
  number: ioctlNumber(name),
  struct: nativeIoctls[name].struct,
}));

const iommufd = (Object.keys(iommufdIoctls) as (keyof typeof iommufdIoctls)[]).map((name) => ({
  number: iommufdNumber(name),
  struct: iommufdIoctls[name].struct as Struct,
}));

/** By the number behind VFIO_BASE, 100. */
const vfio: readonly [number, Struct | undefined][] = [
  [0, undefined],
  [1, undefined],
  [2, undefined],
  [3, GroupStatusStruct],
  [4, undefined],
  [5, undefined],
  [6, undefined],
  [7, DeviceInfoStruct],
  [8, RegionInfoStruct],
  [9, IrqInfoStruct],
  [10, IrqSetStruct],
  [11, undefined],
  [12, Type1InfoStruct],
  [13, MapDmaStruct],
  [13, HotResetStruct],
  [14, UnmapDmaStruct],
  [17, FeatureStruct],
  [18, BindStruct],
  [19, AttachStruct],
  [20, DetachStruct],
];

/** Of vhost: direction (0 none, 1 in, 2 out, 3 both), struct or size of the argument, numbers. */
const vhost: readonly [direction: number, what: Struct | number, numbers: readonly number[]][] = [
  [0, 0, [0x01, 0x02, 0x7d, 0x7e]],
  [1, 1, [0x72]],
  [1, 4, [0x07, 0x77]],
  [1, 8, [0x00, 0x03, 0x04, 0x25]],
  [2, 1, [0x71]],
  [2, 2, [0x76]],
  [2, 4, [0x70, 0x79, 0x7a, 0x80, 0x81]],
  [2, 8, [0x00, 0x26]],
  [1, ConfigStruct, [0x74]],
  [2, ConfigStruct, [0x73]],
  [2, IovaRangeStruct, [0x78]],
  [1, VringAddrStruct, [0x11]],
  [1, VringFileStruct, [0x20, 0x21, 0x22]],
  [1, VringStateStruct, [0x10, 0x12, 0x23, 0x24, 0x75, 0x7c]],
  [3, VringStateStruct, [0x12, 0x7b, 0x7f, 0x82]],
];

export const shapes: readonly Shape[] = [
  ...native,
  ...iommufd,
  ...vfio.map(([nr, struct]) => ({ number: 0x3b64 + nr, struct })),
  { number: 0x3ba0, struct: TestStruct },
  ...vhost.flatMap(([direction, what, numbers]) => {
    const struct = typeof what === 'number' ? undefined : what;
    const size = typeof what === 'number' ? what : what.size;
    const head = (direction << 30) | (size << 16) | (VHOST_TYPE << 8);
    return numbers.map((nr) => ({ number: (head | nr) >>> 0, struct }));
  }),
];

/** What fields may mean: descriptors, numbers that calls have returned, and an address. */
export interface Known {
  readonly fds: readonly number[];
  readonly numbers: readonly number[];
  readonly address: number;
}

/** A control byte from here on: the field takes bytes of the input as they are. */
const ANYTHING = 0xe0;

/** The struct, by one control byte a field. */
export function filled({ size, fields }: Struct, pieces: Pieces, known: Known): Uint8Array {
  const data = new Uint8Array(size);
  for (const [name, field] of Object.entries(fields)) {
    const control = pieces.byte();
    if (control >= ANYTHING) data.set(pieces.some().subarray(0, field.size), field.offset);
    else put(data, field, sensible(name, control, size, known));
  }
  return data;
}

function put(data: Uint8Array, { offset, size }: { offset: number; size: number }, value: number): void {
  if (size === 8) setBig(data, offset, BigInt(value));
  else if (size === 4) setU32(data, offset, value);
  else if (size === 2) setU16(data, offset, value);
  else data[offset] = value;
}

function sensible(name: string, control: number, size: number, { fds, numbers, address }: Known): number {
  if (name === 'size' || name === 'argsz') return size + (control >> 5);
  if (/reserved|pad|zero/.test(name)) return 0;
  if (/fd$|^fd|iommufd/.test(name)) return fds[control % fds.length]!;
  if (/iova|start|last|offset|_addr$/.test(name)) return (control & 0x0f) * PAGE + (control >> 7);
  if (/uptr|va$|address|^addr|data$|data_uptr|ptr/.test(name)) return address + (control & 3) * PAGE;
  if (/length|bytes|page_size/.test(name)) return ((control & 3) + 1) * PAGE;
  if (/id$|pasid|hwpt|ioas|^dev|parent|target|object/.test(name))
    return control < 0xc0 && numbers.length > 0 ? numbers[control % numbers.length]! : control & 0x3f;
  return control;
}
