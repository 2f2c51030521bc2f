/**
 * What the bytes of an ioctl mean: the structs of Linux 7.3's `linux/iommufd.h`, of its test interface, of
 * VFIO's calls and of vhost's.
 *
 * It serves the generator, which fills fields by name, and the printing of a sequence. It is kept apart from
 * the tables that our own files decode by: a mistake made twice in one table would not be seen by a
 * comparison.
 */
import { chars, u8, u16, u32, u64 } from '../uapi/struct.js';
import { type IoctlLine, number, type Value } from './language.js';
import { iommufd, type Layout, TEST, test } from './layout.js';
import { vfioLayouts } from './layouts-vfio.js';
import { vhostLayouts } from './layouts-vhost.js';

const flagged = { flags: u32 };
const range = { iova: u64, length: u64 };
const mockDevice = { out_stdev_id: u32, out_hwpt_id: u32, out_idev_id: u32 };

export const layouts = {
  DESTROY: iommufd('DESTROY', 0x80, { id: u32 }),
  IOAS_ALLOC: iommufd('IOAS_ALLOC', 0x81, { ...flagged, out_ioas_id: u32 }),
  IOAS_ALLOW_IOVAS: iommufd('IOAS_ALLOW_IOVAS', 0x82, {
    ioas_id: u32,
    num_iovas: u32,
    __reserved: u32,
    allowed_iovas: u64,
  }),
  IOAS_COPY: iommufd('IOAS_COPY', 0x83, {
    ...flagged,
    dst_ioas_id: u32,
    src_ioas_id: u32,
    length: u64,
    dst_iova: u64,
    src_iova: u64,
  }),
  IOAS_IOVA_RANGES: iommufd('IOAS_IOVA_RANGES', 0x84, {
    ioas_id: u32,
    num_iovas: u32,
    __reserved: u32,
    allowed_iovas: u64,
    out_iova_alignment: u64,
  }),
  IOAS_MAP: iommufd('IOAS_MAP', 0x85, {
    ...flagged,
    ioas_id: u32,
    __reserved: u32,
    user_va: u64,
    length: u64,
    iova: u64,
  }),
  IOAS_UNMAP: iommufd('IOAS_UNMAP', 0x86, { ioas_id: u32, ...range }),
  OPTION: iommufd('OPTION', 0x87, { option_id: u32, op: u16, __reserved: u16, object_id: u32, val64: u64 }),
  VFIO_IOAS: iommufd('VFIO_IOAS', 0x88, { ioas_id: u32, op: u16, __reserved: u16 }),
  HWPT_ALLOC: iommufd('HWPT_ALLOC', 0x89, {
    ...flagged,
    dev_id: u32,
    pt_id: u32,
    out_hwpt_id: u32,
    __reserved: u32,
    data_type: u32,
    data_len: u32,
    data_uptr: u64,
    fault_id: u32,
    __reserved2: u32,
  }),
  GET_HW_INFO: iommufd('GET_HW_INFO', 0x8a, {
    ...flagged,
    dev_id: u32,
    data_len: u32,
    data_uptr: u64,
    data_type: u32,
    out_max_pasid_log2: u8,
    __reserved: chars(3),
    out_capabilities: u64,
  }),
  HWPT_SET_DIRTY_TRACKING: iommufd('HWPT_SET_DIRTY_TRACKING', 0x8b, {
    ...flagged,
    hwpt_id: u32,
    __reserved: u32,
  }),
  HWPT_GET_DIRTY_BITMAP: iommufd('HWPT_GET_DIRTY_BITMAP', 0x8c, {
    hwpt_id: u32,
    ...flagged,
    __reserved: u32,
    ...range,
    page_size: u64,
    data: u64,
  }),
  HWPT_INVALIDATE: iommufd('HWPT_INVALIDATE', 0x8d, {
    hwpt_id: u32,
    data_uptr: u64,
    data_type: u32,
    entry_len: u32,
    entry_num: u32,
    __reserved: u32,
  }),
  FAULT_QUEUE_ALLOC: iommufd('FAULT_QUEUE_ALLOC', 0x8e, { ...flagged, out_fault_id: u32, out_fault_fd: u32 }),
  IOAS_MAP_FILE: iommufd('IOAS_MAP_FILE', 0x8f, {
    ...flagged,
    ioas_id: u32,
    fd: u32,
    start: u64,
    length: u64,
    iova: u64,
  }),
  VIOMMU_ALLOC: iommufd('VIOMMU_ALLOC', 0x90, {
    ...flagged,
    type: u32,
    dev_id: u32,
    hwpt_id: u32,
    out_viommu_id: u32,
    data_len: u32,
    __reserved: u32,
    data_uptr: u64,
  }),
  VDEVICE_ALLOC: iommufd('VDEVICE_ALLOC', 0x91, {
    viommu_id: u32,
    dev_id: u32,
    out_vdevice_id: u32,
    virt_id: u64,
  }),
  IOAS_CHANGE_PROCESS: iommufd('IOAS_CHANGE_PROCESS', 0x92, { __reserved: u32 }),
  VEVENTQ_ALLOC: iommufd('VEVENTQ_ALLOC', 0x93, {
    ...flagged,
    viommu_id: u32,
    type: u32,
    veventq_depth: u32,
    out_veventq_id: u32,
    out_veventq_fd: u32,
    __reserved: u32,
  }),
  HW_QUEUE_ALLOC: iommufd('HW_QUEUE_ALLOC', 0x94, {
    ...flagged,
    viommu_id: u32,
    type: u32,
    index: u32,
    out_hw_queue_id: u32,
    nesting_parent_iova: u64,
    length: u64,
  }),
  IOAS_NOIOMMU_GET_PA: iommufd('IOAS_NOIOMMU_GET_PA', 0x95, {
    ...flagged,
    ioas_id: u32,
    __reserved: u32,
    ...range,
    out_phys: u64,
  }),

  TEST_ADD_RESERVED: test('ADD_RESERVED', 1, { start: u64, length: u64 }),
  TEST_MOCK_DOMAIN: test('MOCK_DOMAIN', 2, mockDevice),
  TEST_MD_CHECK_MAP: test('MD_CHECK_MAP', 3, { ...range, uptr: u64 }),
  TEST_MD_CHECK_REFS: test('MD_CHECK_REFS', 4, { length: u64, uptr: u64, refs: u32 }),
  TEST_CREATE_ACCESS: test('CREATE_ACCESS', 5, { out_access_fd: u32, flags: u32 }),
  TEST_DESTROY_ACCESS_PAGES: test('DESTROY_ACCESS_PAGES', 6, { access_pages_id: u32 }),
  TEST_ACCESS_PAGES: test('ACCESS_PAGES', 7, { flags: u32, out_access_pages_id: u32, ...range, uptr: u64 }),
  TEST_ACCESS_RW: test('ACCESS_RW', 8, { ...range, uptr: u64, flags: u32 }),
  TEST_MOCK_DOMAIN_REPLACE: test('MOCK_DOMAIN_REPLACE', 10, { pt_id: u32 }),
  TEST_ACCESS_REPLACE_IOAS: test('ACCESS_REPLACE_IOAS', 11, { ioas_id: u32 }),
  TEST_MOCK_DOMAIN_FLAGS: test('MOCK_DOMAIN_FLAGS', 12, { ...mockDevice, dev_flags: u32 }),
  TEST_DIRTY: test('DIRTY', 13, {
    flags: u32,
    __pad: u32,
    ...range,
    page_size: u64,
    uptr: u64,
    out_nr_dirty: u64,
  }),
  TEST_MD_CHECK_IOTLB: test('MD_CHECK_IOTLB', 14, { iotlb_id: u32, iotlb: u32 }),
  TEST_TRIGGER_IOPF: test('TRIGGER_IOPF', 15, { dev_id: u32, pasid: u32, grpid: u32, perm: u32, addr: u64 }),
  TEST_DEV_CHECK_CACHE: test('DEV_CHECK_CACHE', 16, { cache_id: u32, cache: u32 }),
  TEST_TRIGGER_VEVENT: test('TRIGGER_VEVENT', 17, { dev_id: u32 }),
  TEST_PASID_ATTACH: test('PASID_ATTACH', 18, { pasid: u32, pt_id: u32 }),
  TEST_PASID_REPLACE: test('PASID_REPLACE', 19, { pasid: u32, pt_id: u32 }),
  TEST_PASID_DETACH: test('PASID_DETACH', 20, { pasid: u32 }),
  TEST_PASID_CHECK_HWPT: test('PASID_CHECK_HWPT', 21, { pasid: u32, hwpt_id: u32 }),

  ...vfioLayouts,
  ...vhostLayouts,
} as const satisfies Record<string, Layout>;

export type LayoutName = keyof typeof layouts;

/** What the names of descriptors of device files begin with. */
export const DEVICE = 'dev';

const byCommand = new Map<number, readonly Layout[]>();
for (const layout of Object.values<Layout>(layouts))
  byCommand.set(layout.cmd, [...(byCommand.get(layout.cmd) ?? []), layout]);

export interface CallOptions {
  readonly fd?: string;
  /** Zero bytes after the struct that are part of the call: room for an answer that is longer. */
  readonly room?: number;
  /** Bytes after the struct, in place of `room`. */
  readonly rest?: Uint8Array;
  /**
   * By the name it is kept under: the field to save, and whether it is a new descriptor (`{ fd: 'result' }`:
   * the call's result is).
   */
  readonly saves?: Readonly<Record<string, string | { readonly fd: string }>>;
  readonly watches?: readonly string[];
  readonly address?: Value;
}

/** An ioctl with the named fields set; `size` and `op` are right unless `fields` says otherwise. */
export function call(
  name: LayoutName,
  fields: Readonly<Record<string, Value | number | bigint>>,
  { fd = 'f', room = 0, rest = new Uint8Array(room), saves = {}, watches = [], address }: CallOptions = {},
): IoctlLine {
  const layout: Layout = layouts[name];
  const bytes = new Uint8Array(layout.struct.size + rest.length);
  bytes.set(rest, layout.struct.size);
  const constants = {
    ...(layout.struct.at.size === 0 ? { size: layout.struct.size } : {}),
    ...(layout.op && { op: layout.op }),
  };
  const line: IoctlLine = {
    verb: 'ioctl',
    fd,
    cmd: layout.cmd,
    bytes,
    patches: [],
    saves: Object.entries(saves).map(([kept, field]) => {
      if (typeof field !== 'string' && field.fd === 'result')
        return { name: kept, offset: 'result', size: 'fd' };
      const { offset, size } = fieldOf(layout, typeof field === 'string' ? field : field.fd);
      return { name: kept, offset, size: typeof field === 'string' ? size : 'fd' };
    }),
    watches,
    ...(address !== undefined && { address }),
  };
  return Object.entries({ ...constants, ...fields }).reduce(
    (made, [field, value]) => withField(made, fieldOf(layout, field), value),
    line,
  );
}

/** `line` with `value` in the bytes of `field`: a number among its bytes, anything else as a patch. */
export function withField(
  line: IoctlLine,
  field: { offset: number; size: number },
  value: Value | number | bigint,
): IoctlLine {
  const whole = typeof value === 'object' ? value : number(value);
  const bytes = line.bytes.slice();
  const patches = line.patches.filter(({ offset }) => offset !== field.offset);
  const stored = whole.kind === 'number' ? BigInt.asUintN(8 * field.size, whole.value) : 0n;
  for (let n = 0; n < field.size; n++) bytes[field.offset + n] = Number((stored >> BigInt(8 * n)) & 0xffn);
  return {
    ...line,
    bytes,
    patches: whole.kind === 'number' ? patches : [...patches, { ...field, value: whole }],
  };
}

/** What stands in `field`, or undefined when the line's bytes end before it. */
export function fieldValue(line: IoctlLine, field: { offset: number; size: number }): Value | undefined {
  const patch = line.patches.find(({ offset }) => offset === field.offset);
  if (patch !== undefined) return patch.value;
  if (field.offset + field.size > line.bytes.length) return undefined;
  let value = 0n;
  for (let n = field.size - 1; n >= 0; n--) value = (value << 8n) | BigInt(line.bytes[field.offset + n]!);
  return number(value);
}

/** The layout of what `line` asks for, or undefined when it is no known call. */
export function layoutOf(line: IoctlLine): Layout | undefined {
  const known = byCommand.get(line.cmd) ?? [];
  if (line.cmd !== TEST)
    return known.find(({ ofDevice = false }) => ofDevice === line.fd.startsWith(DEVICE)) ?? known[0];
  const op = fieldValue(line, { offset: 4, size: 4 });
  return known.find((each) => op?.kind === 'number' && BigInt(each.op ?? 0) === op.value);
}

/** The fields of `line` that a value can stand in. */
export function fieldsOf(
  line: IoctlLine,
): readonly { readonly name: string; readonly offset: number; readonly size: number }[] {
  const layout = layoutOf(line);
  if (layout === undefined) return [];
  return Object.entries(layout.struct.fields)
    .map(([name, field]) => ({ name, ...field }))
    .filter(({ size, offset }) => size <= 8 && offset + size <= line.bytes.length);
}

export function fieldOf(layout: Layout, name: string): { offset: number; size: number } {
  const field = layout.struct.fields[name];
  if (field === undefined) throw new Error(`${layout.name} has no field ${name}`);
  return field;
}
