/**
 * The line language that both executors run: `oracle/executor.c` inside a real kernel (or over the real files
 * of `ioasid run`), `ours.ts` over the in-process machine.
 *
 *     seq NAME                          begins a sequence; what the one before it opened and mapped is gone
 *     open F PATH · memfd M LENGTH · eventfd E · dup G F · close F
 *     buf B LENGTH ALIGN                memory at an odd multiple of ALIGN, nothing mapped on either side
 *     fill B OFFSET HEX · peek B OFFSET LENGTH
 *     until B OFFSET VALUE MS           waits at most so long until the 16 bits there are VALUE
 *     hear E MS                         reads an eventfd, for which it waits at most so long
 *     ioctl F CMD HEX [OFFSET:SIZE=VALUE | >v@OFFSET:SIZE | >G@OFFSET:fd | >G@result:fd | <B | !VALUE]...
 *     read F LENGTH · pread F OFFSET LENGTH · pwrite F OFFSET HEX · poll F
 *     write F HEX [OFFSET:SIZE=VALUE]...
 *     preadv F OFFSET LENGTH... · pwritev F OFFSET HEX...
 *     cap v F ID · xcap v F ID          saves where in the file a PCI capability is
 *     await F OFFSET BITS               until none of BITS is set in the register
 *     lseek F OFFSET WHENCE · fsync F · truncate F LENGTH · fallocate F MODE OFFSET LENGTH
 *     mmap B F OFFSET LENGTH HOW        HOW: of r, w and p (private)
 *     show PATH · store PATH HEX        a read, a write of a file that is opened for it
 *     attempt PATH HEX                  a write whose answer is always 0
 *     list PATH                         the names in a folder
 *
 * A VALUE is `&B+0x1000` (an address), `$v+1` (a value saved from an earlier answer), `%F` (a descriptor's
 * number) or a number. An ioctl's struct is HEX with the patches applied; `>` saves from what came back, `<`
 * watches a buffer, `!` gives the argument itself. The OFFSET of a pread and its like is a VALUE too.
 *
 * An answer is a result or an errno's name, and what changed: `+8=01000000` in the struct, `B+16=ffffffff` in
 * a watched buffer, in words of four bytes. Invariant: an answer never contains an address or a descriptor's
 * number, so answers of different processes can be compared.
 */

export type Value =
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'address'; readonly name: string; readonly plus: bigint }
  | { readonly kind: 'saved'; readonly name: string; readonly plus: bigint }
  | { readonly kind: 'descriptor'; readonly name: string };

export interface Patch {
  readonly offset: number;
  readonly size: number;
  readonly value: Value;
}

/** A value or (size `fd`) a new descriptor that the answer names: in the struct, or as the call's result. */
export interface Save {
  readonly name: string;
  readonly offset: number | 'result';
  readonly size: number | 'fd';
}

export interface IoctlLine {
  readonly verb: 'ioctl';
  readonly fd: string;
  readonly cmd: number;
  readonly bytes: Uint8Array;
  readonly patches: readonly Patch[];
  readonly saves: readonly Save[];
  readonly watches: readonly string[];
  readonly address?: Value;
}

const plainVerbs = [
  'open',
  'memfd',
  'eventfd',
  'dup',
  'close',
  'buf',
  'fill',
  'peek',
  'until',
  'hear',
  'read',
  'pread',
  'write',
  'poll',
  'pwrite',
  'preadv',
  'pwritev',
  'cap',
  'xcap',
  'await',
  'lseek',
  'fsync',
  'truncate',
  'fallocate',
  'mmap',
  'show',
  'store',
  'attempt',
  'list',
] as const;
export type PlainVerb = (typeof plainVerbs)[number];

/** Every other line: its words after the verb. */
export interface PlainLine {
  readonly verb: PlainVerb;
  readonly words: readonly string[];
}

export type Line = IoctlLine | PlainLine;

export interface Sequence {
  readonly name: string;
  readonly lines: readonly Line[];
}

export const number = (value: number | bigint): Value => ({ kind: 'number', value: BigInt(value) });
export const address = (name: string, plus: number | bigint = 0): Value => ({
  kind: 'address',
  name,
  plus: BigInt(plus),
});
export const saved = (name: string, plus: number | bigint = 0): Value => ({
  kind: 'saved',
  name,
  plus: BigInt(plus),
});
export const descriptor = (name: string): Value => ({ kind: 'descriptor', name });
export const plain = (verb: PlainVerb, ...words: (string | number)[]): PlainLine => ({
  verb,
  words: words.map(String),
});

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

export function formatValue(value: Value): string {
  switch (value.kind) {
    case 'number':
      return value.value < 4096n ? `${value.value}` : `0x${value.value.toString(16)}`;
    case 'descriptor':
      return `%${value.name}`;
    default:
      return (
        `${value.kind === 'address' ? '&' : '$'}${value.name}` +
        (value.plus === 0n ? '' : `+0x${value.plus.toString(16)}`)
      );
  }
}

export function formatLine(line: Line): string {
  if (line.verb !== 'ioctl') return [line.verb, ...line.words].join(' ');
  return [
    `ioctl ${line.fd} 0x${line.cmd.toString(16)} ${line.bytes.length === 0 ? '-' : toHex(line.bytes)}`,
    ...line.patches.map(formatPatch),
    ...line.saves.map(({ name, offset, size }) => `>${name}@${offset}:${size}`),
    ...line.watches.map((name) => `<${name}`),
    ...(line.address === undefined ? [] : [`!${formatValue(line.address)}`]),
  ].join(' ');
}

/** The script of `sequences`, as the executors read it. */
export function formatScript(sequences: readonly Sequence[]): string {
  return sequences
    .map(({ name, lines }) => `${[`seq ${name}`, ...lines.map(formatLine)].join('\n')}\n`)
    .join('');
}

/** @throws Error when `text` is not a line of the language. */
export function parseLine(text: string): Line {
  const [verb = '', ...words] = text.split(' ');
  if (verb === 'ioctl') return parseIoctl(words);
  if (!isPlainVerb(verb)) throw new Error(`"${text}" begins with no verb of the language`);
  return { verb, words };
}

export function parseValue(text: string): Value {
  const [base = '', plus = '0'] = text.slice(1).split('+');
  if (text.startsWith('&')) return address(base, BigInt(plus));
  if (text.startsWith('$')) return saved(base, BigInt(plus));
  if (text.startsWith('%')) return descriptor(base);
  return number(BigInt(text));
}

/** @throws Error when `text` is not OFFSET:SIZE=VALUE. */
export function parsePatch(text: string): Patch {
  const [, offset, size, value] = /^(\d+):(\d)=(.+)$/.exec(text) ?? [];
  if (value === undefined) throw new Error(`"${text}" is not a part of a call`);
  return { offset: Number(offset), size: Number(size), value: parseValue(value) };
}

export const formatPatch = ({ offset, size, value }: Patch): string =>
  `${offset}:${size}=${formatValue(value)}`;

function isPlainVerb(verb: string): verb is PlainVerb {
  return (plainVerbs as readonly string[]).includes(verb);
}

function parseIoctl([fd = '', cmd = '', hex = '', ...rest]: readonly string[]): IoctlLine {
  const patches: Patch[] = [];
  const saves: Save[] = [];
  const watches: string[] = [];
  let argument: Value | undefined;
  for (const word of rest) {
    const save = /^>(\w+)@(\d+|result):(\d|fd)$/.exec(word);
    if (save !== null)
      saves.push({
        name: save[1]!,
        offset: save[2] === 'result' ? 'result' : Number(save[2]),
        size: save[3] === 'fd' ? 'fd' : Number(save[3]),
      });
    else if (word.startsWith('<')) watches.push(word.slice(1));
    else if (word.startsWith('!')) argument = parseValue(word.slice(1));
    else patches.push(parsePatch(word));
  }
  const line = {
    verb: 'ioctl',
    fd,
    cmd: Number(cmd),
    bytes: hex === '-' ? new Uint8Array() : fromHex(hex),
    patches,
    saves,
    watches,
  } as const;
  return argument === undefined ? line : { ...line, address: argument };
}

/** The runs of changed words as an answer lists them. `skipped`: offset of a word that is not compared. */
export function changes(label: string, before: Uint8Array, now: Uint8Array, skipped = -1): string {
  let text = '';
  for (let at = 0; at < now.length; at += 4) {
    const start = at;
    while (at < now.length && at !== skipped && differs(before, now, at)) at += 4;
    if (at > start) text += ` ${label}+${start}=${toHex(now.subarray(start, Math.min(at, now.length)))}`;
  }
  return text;
}

function differs(before: Uint8Array, now: Uint8Array, at: number): boolean {
  for (let byte = at; byte < Math.min(at + 4, now.length); byte++)
    if (before[byte] !== now[byte]) return true;
  return false;
}
