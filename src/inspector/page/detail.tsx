/**
 * What is selected, in full: what it may reach or who may reach it, its mappings, what it was asked and what
 * has happened to it; and the questions that can be asked about it.
 */
import { useState } from 'preact/hooks';
import type { TraceEvent } from '../../trace/event.js';
import { escaped, lineOf } from '../../trace/lines.js';
import type { Answer, DeviceItem, Item, Mapping, OpenItem, SpaceItem } from '../model.js';
import { usesOf } from '../scene.js';
import { ask, items, lastEvents, selected } from './state.js';

/** Rows of a list. */
const ROWS = 100;
/** Events that are shown of what is selected. */
const EVENTS = 200;

function Checks({ answer }: { readonly answer: Answer | undefined }) {
  if (answer === undefined) return null;
  if ('error' in answer) return <p class="bad">{escaped(answer.error)}</p>;
  if (!('checks' in answer)) return null;
  return (
    <ol class="checks">
      {answer.checks.map(({ name, passed, says }) => (
        <li key={name} class={passed === null ? 'told' : passed ? 'good' : 'bad'}>
          <b>{name}</b> {escaped(says)}
        </li>
      ))}
    </ol>
  );
}

/** A form with an address: `given` goes with it. */
function Ask(props: {
  readonly title: string;
  readonly given: Record<string, string>;
  readonly number?: string;
}) {
  const [answer, setAnswer] = useState<Answer | undefined>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const fields = Object.fromEntries([...data].map(([name, value]) => [name, String(value)]));
    setAnswer(await ask({ ...props.given, ...fields }));
  };
  return (
    <form onSubmit={submit}>
      <h3>{props.title}</h3>
      {props.number !== undefined && (
        <label>
          {props.number} <input name="vpasid" defaultValue="1" size={6} />
        </label>
      )}
      <label>
        IOVA <input name="iova" defaultValue="0x1000" size={14} />
      </label>
      <select name="write" aria-label="access">
        <option value="false">read</option>
        <option value="true">write</option>
      </select>
      <button type="submit">Ask</button>
      <Checks answer={answer} />
    </form>
  );
}

const rights = (access: number) => `${access & 1 ? 'r' : '-'}${access & 2 ? 'w' : '-'}`;

/** The mappings side by side, each as wide as its length is large; gaps between them are lines. */
function Bar({ mappings }: { readonly mappings: readonly Mapping[] }) {
  const widths = mappings.map(({ length }) => Math.log2(Number(BigInt(length)) + 1));
  const total = widths.reduce((sum, width) => sum + width, 0);
  let x = 0;
  return (
    <svg class="bar" viewBox="0 0 1000 22" preserveAspectRatio="none" aria-label="mappings">
      <title>The mappings in the order of their IOVAs</title>
      {mappings.map(({ iova, access, memory }, n) => {
        const width = (1000 * widths[n]!) / total;
        x += width;
        return (
          <rect key={iova} x={x - width} width={Math.max(1, width - 2)} height={22} class={`access${access}`}>
            <title>{`${iova} ${rights(access)} ${escaped(memory)}`}</title>
          </rect>
        );
      })}
    </svg>
  );
}

function Space({ space, id }: { readonly space: SpaceItem; readonly id: string }) {
  const { mappings, count, parent } = space;
  return (
    <>
      <Bar mappings={mappings.slice(0, 200)} />
      <table>
        <tbody>
          {mappings.slice(0, ROWS).map(({ iova, length, access, memory, offset }) => (
            <tr key={iova}>
              <td>{iova}</td>
              <td>+{length}</td>
              <td>{rights(access)}</td>
              <td>
                {escaped(memory)} + {offset}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {count > Math.min(ROWS, mappings.length) && <p>{count} mappings in all</p>}
      {parent !== undefined && <p>nested over {nameOf(parent)}</p>}
      <p>
        reached by{' '}
        {usesOf(items.value, id)
          .slice(0, ROWS)
          .map(({ device }) => nameOf(device))
          .join(', ') || 'no device'}
      </p>
      <Ask key={id} title="Walk of an IOVA" given={{ ask: 'walk', space: id }} />
    </>
  );
}

function nameOf(key: string): string {
  const item = items.value.get(key);
  return item !== undefined && 'name' in item ? escaped(item.name) : key;
}

function Device({ device, id }: { readonly device: DeviceItem; readonly id: string }) {
  const uses = usesOf(items.value, id);
  const number = device.asids ? 'ASID' : 'PASID';
  return (
    <>
      <p>
        {escaped(device.spec)} {device.rid} {device.mdev ? '(mdev)' : ''}{' '}
        {device.pid === undefined ? 'not open' : `open in process ${device.pid}`}
      </p>
      {device.refused !== undefined && <p class="bad">refused last: {escaped(device.refused)}</p>}
      <h3>
        {uses.length} {uses.length === 1 ? 'entry' : 'entries'}
      </h3>
      <table>
        <tbody>
          {uses.slice(0, ROWS).map(({ pasid, vpasid, space }) => (
            <tr key={pasid}>
              <td>
                {number} {vpasid}
              </td>
              <td>{vpasid === pasid ? '' : `is PASID ${pasid}`}</td>
              <td>{space === undefined ? '' : nameOf(space)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <Ask
        key={id}
        title="Can this device reach this byte?"
        number={number}
        given={{ ask: 'reach', device: device.name }}
      />
    </>
  );
}

function File({ file }: { readonly file: OpenItem }) {
  const { fd, pid, program = '', target } = file;
  return (
    <p>
      {fd === undefined ? 'open' : `descriptor ${fd}`} in process {pid} {escaped(program)}
      {target !== undefined && `, stands for ${nameOf(target)}`}
    </p>
  );
}

/** Is the event about what is selected? */
function concerns(event: TraceEvent, key: string, item: Item | undefined): boolean {
  if (key.startsWith('process ')) return event.kind === 'call' && event.pid === Number(key.slice(8));
  if (item?.type === 'device') {
    if (event.kind === 'call') return event.path.endsWith(item.name);
    return ('device' in event && event.device === item.name) || ('rid' in event && event.rid === item.rid);
  }
  if (item?.type === 'space') return 'pasid' in event && item.name === `PASID ${event.pasid}`;
  if (item?.type === 'open')
    return event.kind === 'call' && event.pid === item.pid && `/dev/${event.path}` === item.path;
  return item?.type === 'context' && event.kind === 'call' && event.pid === item.pid;
}

export function Events() {
  const key = selected.value;
  const item = key === undefined ? undefined : items.value.get(key);
  const shown = lastEvents((event) => key === undefined || concerns(event, key, item), EVENTS);
  return (
    <ul class="events" aria-label="events">
      {shown.map((event, n) => (
        <li
          key={`${event.time} ${n}`}
          class={event.kind === 'fault' || 'reason' in event ? 'bad' : event.kind}
        >
          {lineOf(event, {})}
        </li>
      ))}
    </ul>
  );
}

export function Detail() {
  const key = selected.value;
  if (key === undefined)
    return <p>Select anything in the picture to see what it has and what happened to it.</p>;
  const item = items.value.get(key);
  return (
    <>
      <h2>{item?.type === 'open' ? escaped(item.path) : nameOf(key)}</h2>
      {item?.type === 'space' && <Space space={item} id={key} />}
      {item?.type === 'device' && <Device device={item} id={key} />}
      {item?.type === 'open' && <File file={item} />}
    </>
  );
}
