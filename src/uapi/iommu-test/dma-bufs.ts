/** The test interface's dma-bufs: one is the descriptor that its call returns. */
import { finished } from '../../file/work.js';
import { MockDmaBuf } from '../../iommu-test/mock-dma-buf.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { refuse } from '../../linux/errno.js';
import { DeviceFile } from '../device-file.js';
import type { Command } from '../iommufd/command.js';
import { DmaBufStruct, RevokeStruct } from './layouts.js';

/** @returns the descriptor; Linux 7.3.4 forgets to. */
export function getDmaBuf({ tables }: IommufdContext, { caller, data }: Command): number {
  const buffer = new MockDmaBuf(DmaBufStruct.decode(data).length, tables);
  return finished(
    caller.install(new DeviceFile(buffer, new Map(), { called: 'dma-buf', release: () => buffer.close() })),
  );
}

/** @throws Refusal EBADF no such descriptor; EOPNOTSUPP it is another file. */
export function revokeDmaBuf(_context: IommufdContext, { caller, data }: Command): void {
  const { dmabuf_fd, revoked } = RevokeStruct.decode(data);
  const buffer = caller.presented(dmabuf_fd | 0);
  if (!(buffer instanceof MockDmaBuf))
    refuse('EOPNOTSUPP', `descriptor ${dmabuf_fd | 0} is no dma-buf of the test interface`);
  buffer.revoke(revoked !== 0);
}
