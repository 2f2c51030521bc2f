/**
 * Lines for people, of events: calls in the manner of strace, all else behind two dashes.
 *
 * Whatever a program has chosen (its name, a text, a path) is escaped, so that it cannot move the cursor of
 * who reads. Colours are added last, by a Paint; there is one that adds none.
 */
import {
  type CallEvent,
  type Fields,
  type FieldValue,
  fullPath,
  isOfSysfs,
  type NamedDescriptor,
  type TraceEvent,
} from './event.js';

/** Colours text. */
export interface Paint {
  readonly dim: (text: string) => string;
  readonly call: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly note: (text: string) => string;
}

const plain = (text: string) => text;
export const noPaint: Paint = { dim: plain, call: plain, bad: plain, note: plain };

export interface LineOptions {
  readonly paint?: Paint;
  /** The time of day before each line. */
  readonly times?: boolean;
}

/** A line, of which two say the same when `what` and `why` are: when it was and how long it took differ. */
export interface Line {
  readonly what: string;
  readonly took: string;
  readonly why: string;
}

/** The line of an event, without its end. */
export function lineOf(event: TraceEvent, { paint = noPaint, times = true }: LineOptions): string {
  const { what, took, why } = partsOf(event, paint);
  return `${times ? timeOf(event, paint) : ''}${what}${took}${why}`;
}

/** The time of day before a line. */
export function timeOf({ time }: TraceEvent, paint: Paint): string {
  return `${paint.dim(timeOfDay(time))} `;
}

/** What follows the time. */
export function partsOf(event: TraceEvent, paint: Paint): Line {
  return event.kind === 'call' ? callLine(event, paint) : { what: bodyOf(event, paint), took: '', why: '' };
}

/** The last second that was told: most lines are of the same. */
let second = { number: Number.NaN, text: '' };

/** `12:00:07.201`, UTC. */
function timeOfDay(time: number): string {
  const [number, ms] = [Math.floor(time / 1000), Math.floor(time) % 1000];
  if (number !== second.number)
    second = { number, text: new Date(number * 1000).toISOString().slice(11, 19) };
  return `${second.text}.${String(ms).padStart(3, '0')}`;
}

function bodyOf(event: Exclude<TraceEvent, CallEvent>, paint: Paint): string {
  switch (event.kind) {
    case 'dma': {
      const { rid, pasid, write, iova, length } = event;
      return `-- DMA ${escaped(rid)} PASID ${pasid} ${write ? 'write' : 'read'} ${iova}+${length}`;
    }
    case 'fault': {
      const { rid, pasid, write, iova, reason } = event;
      const access = `${escaped(rid)} PASID ${pasid} ${write ? 'write' : 'read'} at ${iova}`;
      return paint.bad(`-- DMA fault: ${access}: ${escaped(reason)}`);
    }
    case 'interrupt': {
      const { device, name, vector, lost } = event;
      const text = `-- ${escaped(device)}: interrupt ${escaped(name)} ${vector}`;
      return lost === undefined ? text : paint.bad(`${text}: ${escaped(lost)}`);
    }
    case 'authorized':
    case 'revoked': {
      const { kind, device, pasid, vpasid } = event;
      const as = vpasid === undefined || vpasid === pasid ? '' : ` as ${vpasid}`;
      const no = kind === 'revoked' ? 'no more ' : '';
      return `-- ${escaped(device)}: ${no}authorized for PASID ${pasid}${as}`;
    }
    case 'page': {
      const { device, pasid, write, iova } = event;
      const access = `${write ? 'write' : 'read'} at ${iova} of PASID ${pasid}`;
      return `-- ${escaped(device)}: asks for a page to ${access}`;
    }
    case 'note':
      return paint.note(`-- ${escaped(event.device)}: ${escaped(event.sentence)}`);
    case 'lost':
      return paint.bad(`-- ${event.count} events are not told: they came too fast`);
  }
}

function callLine(event: CallEvent, paint: Paint): Line {
  const { pid, tid, program, result, error, reason, duration } = event;
  const thread = tid === undefined || tid === pid ? `${pid}` : `${pid}/${tid}`;
  const who = pid === undefined ? '' : `${program === undefined ? '' : escaped(program)}[${thread}] `;
  const value = error === undefined ? ` = ${result}` : ` = ${paint.bad(`-1 ${error}`)}`;
  const took = paint.dim(` <${Math.floor(duration / 1e6)}.${String(duration % 1e6).padStart(6, '0')}>`);
  const why = reason === undefined ? '' : `: ${paint.bad(escaped(reason))}`;
  return { what: `${who}${paint.call(nameOf(event))}(${argumentsOf(event)})${value}`, took, why };
}

/** The system call that it is; the end of the last descriptor is nobody's call. */
function nameOf(event: CallEvent): string {
  const { call } = event;
  if (call === 'read' || call === 'write') return offsetOf(event) === undefined ? call : `p${call}`;
  return call === 'flush' ? 'close' : call;
}

/** Where a transfer was, as far as it says something: values below /sys are read and written from 0 on. */
function offsetOf({ path, offset }: CallEvent): string | undefined {
  return offset === '0x0' && isOfSysfs(path) ? undefined : offset;
}

function argumentsOf(event: CallEvent): string {
  const { call, path, fd, name, place, length, bytes, input, output, descriptors } = event;
  const offset = offsetOf(event);
  const file = escaped(fullPath(path));
  if (call === 'open') return `"${file}"`;
  const parts = [`${fd ?? ''}<${file}>`];
  if (name !== undefined) parts.push(name);
  if (input !== undefined) parts.push(fieldsText(input) + (output ? ` => ${fieldsText(output)}` : ''));
  else if (bytes !== undefined) parts.push(bytesText(event, bytes));
  if (length !== undefined) parts.push(`${length}`);
  if (offset !== undefined) parts.push(place === undefined ? offset : escaped(place));
  if (descriptors !== undefined) parts.push(...descriptors.map(descriptorText));
  return parts.join(', ');
}

/** The first bytes of a transfer; what is text below /sys as that. */
function bytesText({ call, path, result, length }: CallEvent, bytes: string): string {
  const more = bytes.length / 2 < (call === 'write' ? length! : result) ? '…' : '';
  const text = bytes.replace(/../g, (two) => String.fromCharCode(Number.parseInt(two, 16)));
  if (text === '' || (isOfSysfs(path) && plainText.test(text))) return JSON.stringify(text) + more;
  return `0x${bytes}${more}`;
}

const plainText = /^[\t\n -~]*$/;

function fieldsText(fields: Fields): string {
  let text = '';
  for (const name in fields) text += `${text === '' ? '' : ', '}${name}=${valueText(fields[name]!)}`;
  return `{${text}}`;
}

const word = /^(0x[0-9a-f]+|[A-Z][A-Za-z0-9_]*)$/;

function valueText(value: FieldValue): string {
  if (typeof value === 'number') return `${value}`;
  if (typeof value === 'string') return word.test(value) ? value : `"${escaped(value)}"`;
  return isList(value) ? value.join('|') || '0' : descriptorText(value);
}

function isList(value: FieldValue): value is readonly string[] {
  return Array.isArray(value);
}

function descriptorText({ fd, is }: NamedDescriptor): string {
  return is === undefined ? `${fd}` : `${fd}<${escaped(is)}>`;
}

const harmless = /^[ -~]*$/;

/** Text without what would move the cursor or hide anything: those characters by their numbers. */
export function escaped(text: string): string {
  if (harmless.test(text)) return text;
  return text.replace(/[\p{C}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0)!.toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u{${code}}`;
  });
}
