/**
 * The commands of the admin queue (NVM Express Base 2.0 §5). Each is answered at once, but for requests of
 * events, which are kept, the deletion of a queue that still has commands, and the abort of one of them.
 *
 * What moves data names it by PRP entries, as the specification wants it of admin commands over PCIe.
 */
import { type AsyncEvents, events } from './async-events.js';
import { ALL_NAMESPACES, type Command } from './command.js';
import { type DataPointers, MAX_TRANSFER } from './data-pointer.js';
import { Feature } from './features.js';
import type { Identification } from './identification.js';
import { ABORTS, type InFlight } from './in-flight.js';
import { type LogSources, logPage, WARNING_TEMPERATURE } from './log-pages.js';
import type { Memory } from './memory.js';
import { AdminOpcode } from './opcodes.js';
import type { QueueCreation } from './queue-creation.js';
import type { Queues } from './queues.js';
import { ScatterList } from './scatter-list.js';
import { Status } from './status.js';

/** How a command is answered: its status, and dword 0 of its completion. */
export interface Answer {
  readonly status: Status;
  readonly result?: number;
}

/** What the commands work on. */
export interface AdminContext extends LogSources {
  readonly memory: Memory;
  readonly pointers: DataPointers;
  readonly queues: Queues;
  readonly creation: QueueCreation;
  readonly identification: Identification;
  readonly events: AsyncEvents;
  readonly requests: InFlight;
  /** As the driver has set it. */
  configuration(): { readonly page: number };
}

/** Which of its values a feature is asked for: bits 10:8 of dword 10 (§5.15). */
const Select = { CURRENT: 0, DEFAULT: 1, SAVED: 2, SUPPORTED: 3 } as const;
/** Keep the value over resets (§5.27). */
const SAVE = 0x8000_0000;
const RETAIN_EVENT = 0x8000;
/** Dword 14 of Get Log Page (§5.16). */
const OFFSET_IS_INDEX = 0x80_0000;
/** Dword 0 of Abort: whether the command was not aborted (§5.1). */
export const ABORTED = 0;
export const NOT_ABORTED = 1;

const invalidField: Answer = { status: Status.INVALID_FIELD };

export class Admin {
  readonly #context: AdminContext;
  readonly #list = new ScatterList();

  constructor(context: AdminContext) {
    this.#context = context;
  }

  /** Does `command`. @returns undefined when it will be answered later. */
  execute(command: Command): Answer | undefined {
    const { queues, creation, events: requests } = this.#context;
    if (command.fused !== 0 || command.pointerKind !== 0) return invalidField;
    switch (command.opcode) {
      case AdminOpcode.DELETE_SUBMISSION_QUEUE: {
        const status = queues.deleteSubmission(command.dword(10) & 0xffff, command.id);
        return status === undefined ? undefined : { status };
      }
      case AdminOpcode.CREATE_SUBMISSION_QUEUE:
        return { status: creation.submission(command, this.#page) };
      case AdminOpcode.DELETE_COMPLETION_QUEUE:
        return { status: queues.deleteCompletion(command.dword(10) & 0xffff) };
      case AdminOpcode.CREATE_COMPLETION_QUEUE:
        return { status: creation.completion(command, this.#page) };
      case AdminOpcode.GET_LOG_PAGE:
        return this.#getLogPage(command);
      case AdminOpcode.IDENTIFY:
        return this.#identify(command);
      case AdminOpcode.ABORT:
        return this.#abort(command);
      case AdminOpcode.SET_FEATURES:
        return this.#setFeatures(command);
      case AdminOpcode.GET_FEATURES:
        return this.#getFeatures(command);
      case AdminOpcode.ASYNC_EVENT_REQUEST:
        return requests.request(command.id) ? undefined : { status: Status.EVENT_REQUEST_LIMIT };
      case AdminOpcode.DOORBELL_BUFFERS:
        return this.#useShadows(command);
      default:
        return { status: Status.INVALID_OPCODE };
    }
  }

  /** Bytes of a memory page. */
  get #page(): number {
    return this.#context.configuration().page;
  }

  /**
   * What a disk is busy with cannot be called back: a command ends when its next piece would begin, or, where
   * none does, as it would have ended. The command to abort it completes after it.
   */
  #abort(command: Command): Answer | undefined {
    const which = command.dword(10);
    const [queueId, commandId] = [which & 0xffff, which >>> 16];
    const { events: requests, requests: underWay } = this.#context;
    if (queueId === 0 && requests.abort(commandId)) return { status: Status.SUCCESS, result: ABORTED };
    const request = underWay.find(queueId, commandId);
    if (request === undefined || request.abortId !== undefined)
      return { status: Status.SUCCESS, result: NOT_ABORTED };
    if (underWay.aborting === ABORTS) return { status: Status.ABORT_LIMIT };
    request.abortId = command.id;
    return undefined;
  }

  #identify(command: Command): Answer {
    const found = this.#context.identification.find(command);
    return found instanceof Uint8Array ? this.#give(command, found, found.length) : { status: found };
  }

  #getLogPage(command: Command): Answer {
    const dword = command.dword(10);
    const id = dword & 0xff;
    const page = logPage(id, this.#context);
    if (page === undefined) return { status: Status.INVALID_LOG_PAGE };
    const length = ((command.dword(11) & 0xffff) * 0x1_0000 + (dword >>> 16) + 1) * 4;
    const offset = command.quad(12);
    if (offset % 4 !== 0 || offset > page.length || length > MAX_TRANSFER) return invalidField;
    // All pages are of the controller, and none is a list of which parts are named by an index.
    const isOfController = command.nsid === 0 || command.nsid === ALL_NAMESPACES;
    if (!isOfController || (command.dword(14) & OFFSET_IS_INDEX) !== 0) return invalidField;
    const part = new Uint8Array(length);
    part.set(page.subarray(offset, offset + length));
    const answer = this.#give(command, part, length);
    if (answer.status === Status.SUCCESS && (dword & RETAIN_EVENT) === 0) this.#context.events.read(id);
    return answer;
  }

  #getFeatures(command: Command): Answer {
    const { features } = this.#context;
    const id = command.dword(10) & 0xff;
    const about = command.dword(11);
    const select = (command.dword(10) >>> 8) & 7;
    const status = features.checkRead(id, about, command.nsid);
    if (status !== Status.SUCCESS) return { status };
    if (select === Select.SUPPORTED) return { status, result: features.capabilities(id) };
    if (select === Select.CURRENT) return { status, result: features.current(id, about, command.nsid) };
    if (select > Select.SUPPORTED) return invalidField;
    return { status, result: features.fallback(id, about) };
  }

  #setFeatures(command: Command): Answer {
    const { features, queues } = this.#context;
    const dword = command.dword(10);
    const id = dword & 0xff;
    const value = command.dword(11);
    if ((dword & SAVE) !== 0) return { status: Status.NOT_SAVEABLE };
    const status = features.set(id, value, command.nsid, queues.started);
    if (status !== Status.SUCCESS) return { status };
    if (id === Feature.TEMPERATURE_THRESHOLD || id === Feature.ASYNC_EVENTS) this.#checkTemperature();
    return { status, result: id === Feature.QUEUES ? features.current(id, 0) : 0 };
  }

  #checkTemperature(): void {
    const { features, events: told } = this.#context;
    if (features.isHot && features.wantsWarning(WARNING_TEMPERATURE))
      told.raise(events.TEMPERATURE_THRESHOLD);
  }

  /** Doorbell Buffer Config (§5.8): a page of doorbells, and one of event indices. */
  #useShadows(command: Command): Answer {
    const page = this.#page;
    if (command.prp1 % page !== 0 || command.prp2 % page !== 0) return invalidField;
    this.#context.queues.useShadows(command.prp1, command.prp2);
    return { status: Status.SUCCESS };
  }

  /** Writes the first `length` bytes of `data` to where `command` wants them. */
  #give(command: Command, data: Uint8Array, length: number): Answer {
    const { pointers, memory } = this.#context;
    const status = pointers.find(this.#list, command, length, this.#page, true);
    if (status !== Status.SUCCESS) return { status };
    const given = this.#list.write(memory, 0, data, length);
    return { status: given === length ? Status.SUCCESS : Status.DATA_TRANSFER_ERROR };
  }
}
