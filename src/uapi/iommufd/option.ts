/**
 * IOMMU_OPTION: how a context counts memory, and whether an IOAS may use large pages.
 */
import { after, begun, type Sliced } from '../../file/work.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { refuse } from '../../linux/errno.js';
import { choice, getBig, getU16, getU32, setBig, struct, u16, u32, u64 } from '../struct.js';
import { type Command, type IommufdIoctl, requireZero } from './command.js';

export const OPTION_RLIMIT_MODE = 0;
export const OPTION_HUGE_PAGES = 1;
export const OPTION_SET = 0;
export const OPTION_GET = 1;

export const OptionStruct = struct('iommu_option', {
  size: u32,
  option_id: choice({
    IOMMU_OPTION_RLIMIT_MODE: OPTION_RLIMIT_MODE,
    IOMMU_OPTION_HUGE_PAGES: OPTION_HUGE_PAGES,
  }),
  op: choice({ IOMMU_OPTION_OP_SET: OPTION_SET, IOMMU_OPTION_OP_GET: OPTION_GET }, u16),
  reserved: u16,
  object_id: u32,
  val64: u64,
});

export const optionIoctls = {
  IOMMU_OPTION: { nr: 0x87, struct: OptionStruct, last: 'val64', handle: option },
} as const satisfies Record<string, IommufdIoctl>;

function option(context: IommufdContext, { data, respond }: Command): Sliced<number> {
  const { at } = OptionStruct;
  if (getU16(data, at.reserved) !== 0) refuse('EOPNOTSUPP', 'OPTION __reserved must be zero');
  const id = getU32(data, at.option_id);
  if (id !== OPTION_RLIMIT_MODE && id !== OPTION_HUGE_PAGES) refuse('EOPNOTSUPP', `option ${id} is unknown`);
  const done = id === OPTION_RLIMIT_MODE ? rlimitMode(context, data) : hugePages(context, data);
  return after(done, () => {
    respond();
    return 0;
  });
}

function rlimitMode(context: IommufdContext, data: Uint8Array): void {
  const { at } = OptionStruct;
  requireZero(data, at.object_id, 'object_id of RLIMIT_MODE');
  const op = getU16(data, at.op);
  if (op === OPTION_GET) {
    setBig(data, at.val64, BigInt(context.rlimitMode));
    return;
  }
  if (op !== OPTION_SET) refuse('EOPNOTSUPP', `operation ${op} on an option is unknown`);
  context.setRlimitMode(getBig(data, at.val64));
}

function hugePages(context: IommufdContext, data: Uint8Array): Sliced<void> {
  const { at } = OptionStruct;
  const ioas = context.ioas(getU32(data, at.object_id));
  const op = getU16(data, at.op);
  if (op === OPTION_GET) {
    setBig(data, at.val64, ioas.largePages ? 1n : 0n);
    return;
  }
  if (op !== OPTION_SET) refuse('EOPNOTSUPP', `operation ${op} on an option is unknown`);
  const value = getBig(data, at.val64);
  if (value > 1n) refuse('EINVAL', `huge pages ${value} is neither 0 nor 1`);
  return begun(ioas.setLargePages(value === 1n));
}
