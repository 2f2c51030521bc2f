/**
 * What the device says in words (DeviceHost.note): why it did not take a descriptor, what was wrong with one
 * that it took, and with a command. Statuses: specification (see docs/dsa.md), 5.7 and 9.2.12.
 */
import { hex } from '../../linux/errno.js';
import { RECORD_SIZE, Written } from './completion.js';
import { type Descriptor, Status } from './descriptor.js';
import type { WqLimits } from './descriptor-check.js';
import { CommandStatus } from './registers.js';
import type { Task } from './task.js';
import type { WorkQueue } from './work-queue.js';

type Complaint = (d: Descriptor, limits: WqLimits, task: Task) => string;

/** What is wrong with a descriptor, by the status that it ends with. Faults are in the IOMMU's log. */
const complaints: Readonly<Record<number, Complaint>> = {
  [Status.UNSUPPORTED_OPCODE]: (d) => `opcode ${hex(d.opcode)} is none that this work queue does`,
  [Status.INVALID_FLAGS]: (d, _, { invalidFlags }) =>
    `of its flags ${hex(d.flags)} those in ${hex(invalidFlags)} may not be set here, or must be`,
  [Status.RESERVED_NOT_ZERO]: () => 'a reserved field of it is not zero',
  [Status.DELTA_ORDER]: (_, __, { done }) => `the offsets of its delta record fall at byte ${done} of it`,
  [Status.DELTA_OFFSET]: ({ size }, _, { done }) =>
    `an offset of its delta record, at byte ${done} of it, is not below its transfer size ${size}`,
  [Status.DIF_ERROR]: (_, __, { done, result }) =>
    `the integrity field of the block at byte ${done} is not what it has to be (result ${hex(result)})`,
  [Status.TRANSFER_SIZE]: ({ size }, { maxTransfer }) =>
    `its transfer size ${size} is not 1 to ${maxTransfer}, or not what its operation can have`,
  [Status.DELTA_RECORD_SIZE]: ({ words }, { maxTransfer }) =>
    `the size of its delta record, ${words[10]} or at most ${words[12]}, is too small, above ` +
    `${maxTransfer}, or not of whole deltas`,
  [Status.DESCRIPTOR_COUNT]: ({ size }, { maxBatch }) => `its batch of ${size} is not of 2 to ${maxBatch}`,
  [Status.OVERLAP]: ({ source, destination, size }) =>
    `of its ranges at ${hex(source)} and ${hex(destination)}, for ${size} bytes, two overlap`,
  [Status.DUALCAST_ALIGNMENT]: ({ destination }) =>
    `the destinations of a dualcast, ${hex(destination)} one of them, must agree in bits 11:0`,
  [Status.DESCRIPTOR_LIST_ALIGNMENT]: ({ source }) => `its list at ${hex(source)} is not aligned to 64 bytes`,
  [Status.INTERRUPT_HANDLE]: ({ interruptHandle }) =>
    `interrupt handle ${interruptHandle} is not one that its PASID may ask for (MSIXPERM)`,
  [Status.COMPLETION_ALIGNMENT]: ({ completionAddress }) =>
    `its completion record address ${hex(completionAddress)} is not aligned to ${RECORD_SIZE} bytes`,
  [Status.ADDRESS_ALIGNMENT]: ({ source }) => `an address of it, ${hex(source)} first, is not aligned`,
  [Status.PRIVILEGE]: () => 'its privilege bit is not allowed by the work queue',
};

/** Why `task` has failed; undefined when it has not, or its record tells of a fault that is logged. */
export function whyItFailed(task: Task, wq: WorkQueue, written: number): string | undefined {
  const { status, descriptor, pasid } = task;
  const what = `a descriptor of work queue ${wq.index} (opcode ${hex(descriptor.opcode)}, PASID ${pasid})`;
  const complaint = complaints[status];
  if (complaint !== undefined)
    return `${what} ends with status ${hex(status)}: ${complaint(descriptor, wq.limits, task)}`;
  if (written === Written.FAULTED)
    return `${what} ends with status ${hex(status)}, and its completion record faults`;
  return written === Written.NONE
    ? `${what} ends with status ${hex(status)} and no record to say so`
    : undefined;
}

/** Why work queue `wq` takes nothing; `enabled`: the device is. */
export function whyNotEnabled({ index }: WorkQueue, enabled: boolean): string {
  const what = `work queue ${index} is not enabled`;
  return enabled ? what : `${what}: the device is not configured; \`--device dsa,ready=1\` comes so`;
}

/** What is wrong with a command, by its status. */
const commandComplaints: Readonly<Record<number, string>> = {
  [CommandStatus.INVALID_COMMAND]: 'there is no such command',
  [CommandStatus.INVALID_WQ]: 'it names no work queue, or one that is not there',
  [CommandStatus.RESERVED_NOT_ZERO]: 'reserved bits of it are not zero',
  [CommandStatus.DEVICE_NOT_DISABLED]: 'the device is not disabled',
  [CommandStatus.WQ_SIZES_OUT_OF_RANGE]: 'the sizes of all work queues together are above WQCAP',
  [CommandStatus.GROUP_INCOMPLETE]: 'a group has work queues and no engine, or engines and no work queue',
  [CommandStatus.GROUP_WQS]: 'a work queue with a size is not in exactly one group, or one without is in any',
  [CommandStatus.GROUP_ENGINES]: 'an engine is in two groups',
  [CommandStatus.GROUP_BUFFERS]:
    'a group reserves more read buffers than it is allowed, or all together more than there are (GRPCAP)',
  [CommandStatus.DEVICE_NOT_ENABLED]: 'the device is not enabled',
  [CommandStatus.WQ_NOT_DISABLED]: 'the work queue is not disabled',
  [CommandStatus.WQ_SIZE]: 'the size of the work queue is 0',
  [CommandStatus.WQ_PRIORITY]: 'the priority of the work queue is 0',
  [CommandStatus.WQ_PASID]:
    'a shared work queue needs PASIDs enabled, a dedicated one a PASID that it may use',
  [CommandStatus.WQ_MAX_BATCH]:
    'the maximum batch of the work queue is 1, or above that of the device (GENCAP)',
  [CommandStatus.WQ_MAX_TRANSFER]:
    'the maximum transfer of the work queue is above that of the device (GENCAP)',
  [CommandStatus.WQ_PRIVILEGED]: 'a dedicated work queue with a PASID is privileged',
  [CommandStatus.DISABLE_NOT_ENABLED]: 'the device is not enabled',
  [CommandStatus.WQ_NOT_ENABLED]: 'a work queue that it names is not enabled',
};

/** Why command `code` with `operand` has failed; undefined when it has not. */
export function whyCommandFailed(code: number, operand: number, status: number): string | undefined {
  if (status === CommandStatus.SUCCESS) return undefined;
  const why = commandComplaints[status] ?? 'it has failed';
  return `command ${code} (operand ${hex(operand)}) ends with status ${hex(status)}: ${why}`;
}
