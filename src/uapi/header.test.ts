/**
 * include/ioasid.h and the TypeScript layouts are two texts of one ABI; this test holds them together.
 *
 * The header is read twice: by a scanner, for the names of structs, fields and ioctls, so that neither side
 * can have one that the other lacks; and by the C compiler, which prints every size, offset, number and
 * constant, so that the values agree. Fields named `reserved` here are `__reserved` in C. What vfio.ts has is
 * compared with the system's <linux/vfio.h>.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { KIND_MAPPED, KIND_NESTED, KIND_PROCESS } from '../ioasid/context.js';
import { FORMAT_VTD_S1 } from '../ioasid/nested-space.js';
import {
  PAGE_RESPONSE_FAILURE,
  PAGE_RESPONSE_INVALID,
  PAGE_RESPONSE_SUCCESS,
} from '../ioasid/page-faults.js';
import {
  compile,
  includeFolder,
  missingCompiler,
  readPrograms,
  testProgramNames,
} from '../testkit/c-program.js';
import { evaluate, layoutExpressions } from '../testkit/c-values.js';
import { CONFIG_REGION, NUM_REGIONS, ROM_REGION } from '../vfio/device.js';
import { ERR, INTX, MSI, MSIX, NUM_IRQS, REQ } from '../vfio/irq-request.js';
import * as abi from './ioasid.js';
import * as faults from './ioasid-faults.js';
import type { Struct } from './struct.js';
import * as vfioDevice from './vfio.js';
import * as vfioCall from './vfio-call.js';
import * as vfioFeature from './vfio-feature.js';
import * as vfioHotReset from './vfio-hot-reset.js';
import * as vfioIoEventfd from './vfio-ioeventfd.js';

const header = readFileSync(join(includeFolder, 'ioasid.h'), 'utf8');

const ioctls = Object.entries(abi.nativeIoctls).map(([name, { nr, struct }]) => ({
  name,
  nr,
  struct: struct as Struct,
}));

/** All structs: those of ioctls, and those that are read and written. */
const allStructs: readonly Struct[] = [
  ...ioctls.map(({ struct }) => struct),
  faults.PageFaultStruct,
  faults.PageResponseStruct,
];

/** The macros of the header that stand for a plain number, and what they are here. */
const constants: Record<string, number> = {
  IOASID_TYPE: abi.IOASID_TYPE,
  IOASID_KIND_MAPPED: KIND_MAPPED,
  IOASID_KIND_NESTED: KIND_NESTED,
  IOASID_KIND_PROCESS: KIND_PROCESS,
  IOASID_FORMAT_VTD_S1: FORMAT_VTD_S1,
  IOASID_MAP_READ: abi.MAP_READ,
  IOASID_MAP_WRITE: abi.MAP_WRITE,
  IOASID_MAP_FIXED_IOVA: abi.MAP_FIXED_IOVA,
  IOASID_UNMAP_ALL: abi.UNMAP_ALL,
  IOASID_ALLOC_FAULTS: abi.ALLOC_FAULTS,
  IOASID_FAULT_LAST_PAGE: faults.FAULT_LAST_PAGE,
  IOASID_RESPONSE_SUCCESS: PAGE_RESPONSE_SUCCESS,
  IOASID_RESPONSE_INVALID: PAGE_RESPONSE_INVALID,
  IOASID_RESPONSE_FAILURE: PAGE_RESPONSE_FAILURE,
  IOASID_BIND_EXTENDED_ACCESSED: abi.BIND_EXTENDED_ACCESSED,
  IOASID_INVALIDATE_LEAF: abi.INVALIDATE_LEAF,
  IOASID_INVALIDATE_RANGE: abi.INVALIDATE_RANGE,
  IOASID_INVALIDATE_PASID: abi.INVALIDATE_PASID,
  IOASID_INVALIDATE_ALL: abi.INVALIDATE_ALL,
  IOASID_AUTHORIZE_ASID: abi.AUTHORIZE_ASID,
  IOASID_REASON_SIZE: abi.REASON_BYTES,
};

const cNameOf = (field: string) => (field.startsWith('reserved') ? `__${field}` : field);

const withoutComments = (source: string) => source.replace(/\/\*[\s\S]*?\*\//g, ' ');

/**
 * The structs of a header: the names of their fields in order. @throws Error at a declaration that it cannot
 * read.
 */
function structsOf(source: string): Map<string, string[]> {
  const structs = new Map<string, string[]>();
  for (const [, name, body] of withoutComments(source).matchAll(/struct\s+(\w+)\s*\{([^{}]*)\}/g)) {
    const fields = body!.split(';').map((declaration) => declaration.trim());
    assert.equal(fields.pop(), '', `struct ${name} ends with a semicolon`);
    structs.set(
      name!,
      fields.map((declaration) => {
        const match = /^(?:__u8|__u16|__u32|__s32|__aligned_u64|char)\s+(\w+)(?:\[\w+\])?$/.exec(declaration);
        if (match === null) throw new Error(`struct ${name}: cannot read "${declaration}"`);
        return match[1]!;
      }),
    );
  }
  return structs;
}

/** The ioctls of a header: each one's struct. */
function ioctlsOf(source: string): Map<string, string> {
  const found = withoutComments(source).matchAll(/#define\s+(\w+)\s+_IO\w*\([^()]*,\s*struct\s+(\w+)\)/g);
  return new Map([...found].map(([, name, struct]) => [name!, struct!]));
}

/** The other macros of a header that have a value. */
function constantsOf(source: string): string[] {
  const found = withoutComments(source).matchAll(/#define\s+(\w+)[ \t]+(\S.*)/g);
  return [...found].filter(([, , value]) => !value!.startsWith('_IO')).map(([, name]) => name!);
}

/** What `source` and the TypeScript layouts do not agree about, by names alone. */
function differences(source: string): string[] {
  const lines: string[] = [];
  const compare = (what: string, c: readonly string[], ts: readonly string[]) => {
    for (const name of c) if (!ts.includes(name)) lines.push(`${what} ${name} is only in the header`);
    for (const name of ts) if (!c.includes(name)) lines.push(`${what} ${name} is only in TypeScript`);
  };
  const structs = structsOf(source);
  compare(
    'struct',
    [...structs.keys()],
    allStructs.map(({ cName }) => cName),
  );
  compare('ioctl', [...ioctlsOf(source).keys()], Object.keys(abi.nativeIoctls));
  compare('constant', constantsOf(source), Object.keys(constants));
  for (const { cName, fields } of allStructs)
    compare(`field of ${cName}:`, structs.get(cName) ?? [], Object.keys(fields).map(cNameOf));
  for (const { name, struct } of ioctls) {
    const used = ioctlsOf(source).get(name);
    if (used !== struct.cName)
      lines.push(`${name} takes struct ${used} in the header, ${struct.cName} in TypeScript`);
  }
  return lines;
}

const withCc = { skip: missingCompiler('cc') };
const withCxx = { skip: missingCompiler('c++') };

test('every struct, field, ioctl and constant is in the C header and in TypeScript', () => {
  assert.deepEqual(differences(header), []);
});

test('a field that only one side has is found', () => {
  const more = header.replace('__u32 kind;', '__u32 kind;\n\t__u32 colour;');
  assert.deepEqual(differences(more), ['field of ioasid_alloc: colour is only in the header']);
  const less = header.replace('\t__u32 kind;\n', '');
  assert.deepEqual(differences(less), ['field of ioasid_alloc: kind is only in TypeScript']);
  const bits = header.replace('__u32 kind;', '__u32 kind : 4;');
  assert.throws(() => differences(bits), /cannot read "__u32 kind : 4"/);
});

test('an ioctl, struct or constant that only one side has is found', () => {
  assert.deepEqual(
    differences(
      `${header}\n#define IOASID_MORE _IOWR(IOASID_TYPE, 0xCC, struct ioasid_more)\n` +
        'struct ioasid_more { __u32 size; };\n',
    ),
    ['struct ioasid_more is only in the header', 'ioctl IOASID_MORE is only in the header'],
  );
  assert.deepEqual(differences(header.replace('#define IOASID_UNMAP_ALL (1u << 0)', '')), [
    'constant IOASID_UNMAP_ALL is only in TypeScript',
  ]);
  assert.deepEqual(differences(header.replace('0xC1, struct ioasid_alloc)', '0xC1, struct ioasid_free)')), [
    'IOASID_ALLOC takes struct ioasid_free in the header, ioasid_alloc in TypeScript',
  ]);
});

test('the header documents every field of every struct, in order', () => {
  for (const [name, fields] of structsOf(header)) {
    const comment =
      new RegExp(`/\\*\\*\\n \\* struct ${name} - ([\\s\\S]*?)\\*/\\nstruct ${name} \\{`).exec(header)?.[1] ??
      '';
    const documented = [...comment.matchAll(/^ \* @(\w+): (?:in|out)/gm)].map(([, field]) => field);
    assert.deepEqual(documented, fields, `the comment of struct ${name}`);
  }
});

test('sizes, offsets, ioctl numbers and constants are what the C compiler says', withCc, () => {
  const expected = new Map([
    ...allStructs.flatMap((struct) => layoutExpressions(struct, cNameOf)),
    ...ioctls.map(({ name }): [string, number] => [
      name,
      abi.ioctlNumber(name as keyof typeof abi.nativeIoctls),
    ]),
    ...Object.entries(constants),
  ]);
  assert.deepEqual(evaluate(['ioasid.h'], [...expected.keys()]), expected);
});

const everything = [
  '#include <ioasid.h>',
  'int main() {',
  ...ioctls.map(({ name }) => `\tif (${name} == 0) return 1;`),
  '\treturn 0;',
  '}',
  '',
];

/** What the files about device files export. */
const vfio = { ...vfioDevice, ...vfioCall, ...vfioFeature, ...vfioHotReset, ...vfioIoEventfd };

/** The macros of <linux/vfio.h> that they have, and their values there. */
const vfioConstants: Record<string, number> = {
  VFIO_TYPE: vfio.VFIO_TYPE,
  VFIO_BASE: vfio.VFIO_BASE,
  VFIO_DEVICE_GET_INFO: vfio.VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_REGION_INFO: vfio.VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_GET_IRQ_INFO: vfio.VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_SET_IRQS: vfio.VFIO_DEVICE_SET_IRQS,
  VFIO_DEVICE_RESET: vfio.VFIO_DEVICE_RESET,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET: vfio.VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_IOEVENTFD: vfio.VFIO_DEVICE_IOEVENTFD,
  VFIO_DEVICE_IOEVENTFD_8: vfio.IOEVENTFD_8,
  VFIO_DEVICE_IOEVENTFD_16: vfio.IOEVENTFD_16,
  VFIO_DEVICE_IOEVENTFD_32: vfio.IOEVENTFD_32,
  VFIO_DEVICE_IOEVENTFD_64: vfio.IOEVENTFD_64,
  VFIO_DEVICE_FEATURE: vfio.VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FLAGS_RESET: vfio.DEVICE_FLAGS_RESET,
  VFIO_DEVICE_FLAGS_PCI: vfio.DEVICE_FLAGS_PCI,
  VFIO_REGION_INFO_FLAG_READ: vfio.REGION_INFO_READ,
  VFIO_REGION_INFO_FLAG_WRITE: vfio.REGION_INFO_WRITE,
  VFIO_REGION_INFO_FLAG_MMAP: vfio.REGION_INFO_MMAP,
  VFIO_REGION_INFO_FLAG_CAPS: vfio.REGION_INFO_CAPS,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE: vfio.REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_IRQ_INFO_EVENTFD: vfio.IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE: vfio.IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_AUTOMASKED: vfio.IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_NORESIZE: vfio.IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_DATA_NONE: vfio.IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_BOOL: vfio.IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD: vfio.IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_ACTION_MASK: vfio.IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK: vfio.IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_ACTION_TRIGGER: vfio.IRQ_SET_ACTION_TRIGGER,
  VFIO_DEVICE_FEATURE_MASK: vfio.FEATURE_MASK,
  VFIO_DEVICE_FEATURE_GET: vfio.FEATURE_GET,
  VFIO_DEVICE_FEATURE_SET: vfio.FEATURE_SET,
  VFIO_DEVICE_FEATURE_PROBE: vfio.FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY: vfio.FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: vfio.FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT: vfio.FEATURE_LOW_POWER_EXIT,
  VFIO_PCI_ROM_REGION_INDEX: ROM_REGION,
  VFIO_PCI_CONFIG_REGION_INDEX: CONFIG_REGION,
  VFIO_PCI_NUM_REGIONS: NUM_REGIONS,
  VFIO_PCI_INTX_IRQ_INDEX: INTX,
  VFIO_PCI_MSI_IRQ_INDEX: MSI,
  VFIO_PCI_MSIX_IRQ_INDEX: MSIX,
  VFIO_PCI_ERR_IRQ_INDEX: ERR,
  VFIO_PCI_REQ_IRQ_INDEX: REQ,
  VFIO_PCI_NUM_IRQS: NUM_IRQS,
};

const isStruct = (value: unknown): value is Struct =>
  typeof value === 'object' && value !== null && 'cName' in value;

/**
 * What the C compiler is asked about a struct of VFIO. Headers before Linux 6.6 do not have `pad`, which only
 * fills a hole at the end.
 */
function vfioExpressions(struct: Struct): [string, number][] {
  const known = layoutExpressions(struct, (field) => field).filter(
    ([expression]) => !expression.endsWith('pad)'),
  );
  return 'pad' in struct.fields ? known.slice(1) : known;
}

test('the structs and numbers of device files are what <linux/vfio.h> says', withCc, () => {
  const structs = Object.values<unknown>(vfio).filter(isStruct);
  assert.ok(structs.length >= 6);
  const expected = new Map([...structs.flatMap(vfioExpressions), ...Object.entries(vfioConstants)]);
  assert.deepEqual(evaluate(['linux/vfio.h'], [...expected.keys()]), expected);
});

test('every number of a device file is compared with <linux/vfio.h>', () => {
  const compared = new Set(
    Object.keys(vfioConstants).map((name) => name.replace(/^VFIO_/, '').replace('INFO_FLAG_', 'INFO_')),
  );
  // The latter two are of Linux 7.
  const ours = ['REGION_SPAN', 'REGIONS_END', 'FEATURE_DMA_BUF', 'FEATURE_MIG_PRECOPY_INFO'];
  const numbers = Object.entries(vfio).filter(
    ([name, value]) => typeof value === 'number' && !ours.includes(name),
  );
  for (const [name] of numbers) {
    const short = name.replace(/^VFIO_/, '');
    assert.ok(compared.has(short) || compared.has(`DEVICE_${short}`), `${name} is in no comparison`);
  }
});

test('the header alone compiles as C99 without a warning', withCc, () => {
  execFileSync(
    compile('alone.c', everything.join('\n').replace('main()', 'main(void)'), { standard: 'c99' }),
  );
});

test('the header alone compiles as C++11 without a warning', withCxx, () => {
  execFileSync(compile('alone.cc', everything.join('\n'), { compiler: 'c++', standard: 'c++11' }));
});

test('the program in docs/abi.md compiles without a warning', withCc, () => {
  const guide = readFileSync(join(includeFolder, '../docs/abi.md'), 'utf8');
  const program = /```c\n(#include[\s\S]*?)```/.exec(guide)?.[1];
  assert.ok(program !== undefined);
  compile('first.c', program, { standard: 'gnu99' });
});

test('the C programs of the tests are read without a warning', withCc, () => {
  const names = testProgramNames();
  assert.ok(names.length > 3, `only ${names} were found`);
  readPrograms(names);
});
