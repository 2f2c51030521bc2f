/**
 * Lines as people read them: `IOAS_MAP f flags=7 ioas_id=$ioas1 user_va=&b+0x1000 length=0x2000
 * iova=0x2000000`.
 *
 * Fields that are 0 are left out, and so is a `size` that is right; `room` and `rest` are the bytes after the
 * struct. Invariant: `parseReadable(readable(line))` is `line` again; a call that cannot be told in this way
 * (an unknown number) stays in the language of the executors.
 */
import {
  formatLine,
  formatValue,
  fromHex,
  type IoctlLine,
  type Line,
  parseLine,
  parseValue,
  toHex,
} from './language.js';
import type { Layout } from './layout.js';
import { call, fieldOf, fieldsOf, fieldValue, type LayoutName, layoutOf, layouts } from './layouts.js';

export function readable(line: Line): string {
  if (line.verb !== 'ioctl') return formatLine(line);
  const layout = layoutOf(line);
  if (layout === undefined) return formatLine(line);
  const text = words(line, layout).join(' ');
  return formatLine(parseReadable(text)) === formatLine(line) ? text : formatLine(line);
}

/** @throws Error when `text` is neither a readable line nor one of the executors' language. */
export function parseReadable(text: string): Line {
  const [name = '', fd = '', ...rest] = text.split(' ');
  const layout = (layouts as Readonly<Record<string, Layout>>)[name];
  if (layout === undefined) return parseLine(text);
  const fields: Record<string, ReturnType<typeof parseValue>> = {};
  const saves: Record<string, string | { fd: string }> = {};
  const watches: string[] = [];
  let options = {};
  for (const word of rest) {
    const [key = '', value = ''] = word.split('=');
    const [kept = '', field = '', isFd] = word.slice(1).split(/[@:]/);
    if (word.startsWith('>')) saves[kept] = isFd === undefined ? field : { fd: field };
    else if (word.startsWith('<')) watches.push(word.slice(1));
    else if (word.startsWith('!')) options = { ...options, address: parseValue(word.slice(1)) };
    else if (key === 'room') options = { ...options, room: Number(value) };
    else if (key === 'rest') options = { ...options, rest: fromHex(value) };
    else fields[key] = parseValue(value);
  }
  return call(name as LayoutName, fields, { fd, saves, watches, ...options });
}

function words(line: IoctlLine, layout: Layout): string[] {
  const set = fieldsOf(line)
    .map((field) => ({ name: field.name, text: formatValue(fieldValue(line, field)!) }))
    .filter(({ name, text }) => !(name === 'op' && layout.op !== undefined) && text !== usual(layout, name));
  const rest = line.bytes.subarray(layout.struct.size);
  return [
    layout.name,
    line.fd,
    ...set.map(({ name, text }) => `${name}=${text}`),
    ...(rest.length === 0
      ? []
      : [rest.some((byte) => byte !== 0) ? `rest=${toHex(rest)}` : `room=${rest.length}`]),
    ...line.saves.map(
      ({ name, offset, size }) => `>${name}@${fieldAt(layout, offset)}${size === 'fd' ? ':fd' : ''}`,
    ),
    ...line.watches.map((name) => `<${name}`),
    ...(line.address === undefined ? [] : [`!${formatValue(line.address)}`]),
  ];
}

/** What a field holds when nothing is said of it. */
function usual(layout: Layout, name: string): string {
  const isSize = name === 'size' && fieldOf(layout, name).offset === 0;
  return isSize ? `${layout.struct.size}` : '0';
}

function fieldAt(layout: Layout, offset: number | 'result'): string {
  if (offset === 'result') return offset;
  return Object.entries(layout.struct.fields).find(([, field]) => field.offset === offset)?.[0] ?? '';
}
