/**
 * Asynchronous events (NVM Express Base 2.0 §5.2): the driver leaves requests with the controller, each of
 * which completes with one event.
 *
 * An event waits until there is a request for it, once however often it happens. When one of a type has been
 * told, others of that type wait until the driver has read the log page that the event names.
 */
import { Status } from './status.js';

/** Type, information and log page of an event (§5.2.1). */
export interface AsyncEvent {
  readonly type: number;
  readonly info: number;
  readonly page: number;
}

const ERROR_PAGE = 1;
const HEALTH_PAGE = 2;

export const events = {
  INVALID_DOORBELL_REGISTER: { type: 0, info: 0, page: ERROR_PAGE },
  INVALID_DOORBELL_VALUE: { type: 0, info: 1, page: ERROR_PAGE },
  TEMPERATURE_THRESHOLD: { type: 1, info: 1, page: HEALTH_PAGE },
} as const satisfies Record<string, AsyncEvent>;

/** Requests that the controller keeps. */
export const EVENT_REQUESTS = 8;

/** A request that completes, with its status and dword 0. */
export interface EndedRequest {
  readonly commandId: number;
  readonly status: Status;
  readonly result: number;
}

export class AsyncEvents {
  /** Command identifiers of the requests, oldest first, and of those that were taken back. */
  #requests: number[] = [];
  #aborted: number[] = [];
  readonly #waiting = new Set<AsyncEvent>();
  /** Log pages that have to be read before more of their events are told. */
  readonly #unread = new Set<number>();

  /** @returns whether there is room for the request `commandId`. */
  request(commandId: number): boolean {
    if (this.#requests.length === EVENT_REQUESTS) return false;
    this.#requests.push(commandId);
    return true;
  }

  /** Takes a request back. @returns whether there was one. */
  abort(commandId: number): boolean {
    const at = this.#requests.indexOf(commandId);
    if (at >= 0) this.#aborted.push(...this.#requests.splice(at, 1));
    return at >= 0;
  }

  raise(event: AsyncEvent): void {
    this.#waiting.add(event);
  }

  /** The driver has read a log page. */
  read(page: number): void {
    this.#unread.delete(page);
  }

  /** A request that completes now; undefined when there is none. */
  next(): EndedRequest | undefined {
    const aborted = this.#aborted.shift();
    if (aborted !== undefined) return { commandId: aborted, status: Status.ABORT_REQUESTED, result: 0 };
    if (this.#requests.length === 0) return undefined;
    for (const event of this.#waiting) {
      if (this.#unread.has(event.page)) continue;
      this.#waiting.delete(event);
      this.#unread.add(event.page);
      const { type, info, page } = event;
      const result = type | (info << 8) | (page << 16);
      return { commandId: this.#requests.shift()!, status: Status.SUCCESS, result };
    }
    return undefined;
  }

  reset(): void {
    this.#requests = [];
    this.#aborted = [];
    this.#waiting.clear();
    this.#unread.clear();
  }
}
