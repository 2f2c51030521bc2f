/** The commands that the controller has (Base 2.0 §5, NVM Command Set 1.0 §3.2), by their opcodes. */
export const AdminOpcode = {
  DELETE_SUBMISSION_QUEUE: 0x00,
  CREATE_SUBMISSION_QUEUE: 0x01,
  GET_LOG_PAGE: 0x02,
  DELETE_COMPLETION_QUEUE: 0x04,
  CREATE_COMPLETION_QUEUE: 0x05,
  IDENTIFY: 0x06,
  ABORT: 0x08,
  SET_FEATURES: 0x09,
  GET_FEATURES: 0x0a,
  ASYNC_EVENT_REQUEST: 0x0c,
  DOORBELL_BUFFERS: 0x7c,
} as const;

export const IoOpcode = {
  FLUSH: 0x00,
  WRITE: 0x01,
  READ: 0x02,
  COMPARE: 0x05,
  WRITE_ZEROES: 0x08,
  DATASET_MANAGEMENT: 0x09,
} as const;

/** Those that change what is in a namespace. */
export const changesBlocks: readonly number[] = [
  IoOpcode.WRITE,
  IoOpcode.WRITE_ZEROES,
  IoOpcode.DATASET_MANAGEMENT,
];
