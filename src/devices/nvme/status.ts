/**
 * Status codes of commands: the status code type above the status code, as in bits 27:17 of the last word of
 * a completion (NVM Express Base 2.0 §3.3.3.2).
 */
export const Status = {
  SUCCESS: 0,
  INVALID_OPCODE: 0x001,
  INVALID_FIELD: 0x002,
  COMMAND_ID_CONFLICT: 0x003,
  DATA_TRANSFER_ERROR: 0x004,
  INTERNAL_ERROR: 0x006,
  ABORT_REQUESTED: 0x007,
  INVALID_NAMESPACE: 0x00b,
  COMMAND_SEQUENCE_ERROR: 0x00c,
  INVALID_SGL_SEGMENT: 0x00d,
  INVALID_SGL_COUNT: 0x00e,
  INVALID_SGL_LENGTH: 0x00f,
  INVALID_SGL_TYPE: 0x011,
  INVALID_PRP_OFFSET: 0x013,
  NAMESPACE_WRITE_PROTECTED: 0x020,
  LBA_OUT_OF_RANGE: 0x080,
  INVALID_COMPLETION_QUEUE: 0x100,
  INVALID_QUEUE_IDENTIFIER: 0x101,
  INVALID_QUEUE_SIZE: 0x102,
  ABORT_LIMIT: 0x103,
  EVENT_REQUEST_LIMIT: 0x105,
  INVALID_INTERRUPT_VECTOR: 0x108,
  INVALID_LOG_PAGE: 0x109,
  INVALID_QUEUE_DELETION: 0x10c,
  NOT_SAVEABLE: 0x10d,
  NOT_CHANGEABLE: 0x10e,
  NOT_NAMESPACE_SPECIFIC: 0x10f,
  WRITE_FAULT: 0x280,
  UNRECOVERED_READ_ERROR: 0x281,
  COMPARE_FAILURE: 0x285,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** Bits of the status field beside the status (§3.3.3.2): the error log has more, and Do Not Retry. */
const MORE = 0x2000;
const DO_NOT_RETRY = 0x4000;

/** What may succeed when it is tried again. */
const passing: readonly Status[] = [
  Status.DATA_TRANSFER_ERROR,
  Status.INTERNAL_ERROR,
  Status.ABORT_REQUESTED,
  Status.WRITE_FAULT,
  Status.UNRECOVERED_READ_ERROR,
];

/** The status field of a completion, 15 bits without the phase. */
export function statusField(status: Status, logged: boolean): number {
  if (status === Status.SUCCESS) return 0;
  return status | (logged ? MORE : 0) | (passing.includes(status) ? 0 : DO_NOT_RETRY);
}
