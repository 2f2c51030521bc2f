/** The interrupts of one function, and a caller with four eventfds that sets them up: for unit tests. */
import { finished } from '../file/work.js';
import { ConfigSpace } from '../vfio/config-space.js';
import { Interrupts } from '../vfio/interrupts.js';
import type { IrqData, IrqRequest } from '../vfio/irq-request.js';
import { FakeCaller } from './fake-caller.js';
import { everything } from './fake-model.js';

export const NONE: IrqData = { kind: 'none' };
export const fds = (...numbers: number[]): IrqData => ({ kind: 'eventfd', fds: Int32Array.from(numbers) });
export const bools = (...flags: number[]): IrqData => ({ kind: 'bool', bools: Uint8Array.from(flags) });

const COMMAND = 4;
const MEMORY = 2;
const MASTER = 4;

/** Memory space and bus mastering are on, as a driver turns them on. Descriptors 10 to 13 are eventfds. */
export function setUpIrqs() {
  const config = new ConfigSpace(everything);
  const irqs = new Interrupts(everything, config);
  const caller = new FakeCaller();
  const eventfds = [10, 11, 12, 13].map((fd) => caller.addEventfd(fd));
  const set = (
    index: number,
    start: number,
    count: number,
    data: IrqData,
    action: IrqRequest['action'] = 'trigger',
  ) => finished(irqs.set({ index, start, count, action, data }, caller));
  const write = (offset: number, ...bytes: number[]) => {
    config.write(offset, Uint8Array.from(bytes));
    irqs.configWritten(offset, bytes.length);
  };
  /** The command register: bus mastering, and interrupt disable. */
  const command = ({ master = true, disable = false }) =>
    write(COMMAND, MEMORY | (master ? MASTER : 0), disable ? 4 : 0);
  const read = (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    config.read(offset, bytes);
    return bytes;
  };
  const word = (offset: number) => {
    const [low = 0, high = 0] = read(offset, 2);
    return low | (high << 8);
  };
  command({});
  const raised = () => eventfds.map(({ raised }) => raised);
  return { config, irqs, caller, eventfds, set, write, command, read, word, raised };
}

/** Where capability `id` is. */
export function capability({ read }: ReturnType<typeof setUpIrqs>, id: number): number {
  for (let [at = 0] = read(0x34, 1); at !== 0; at = read(at + 1, 1)[0]!) if (read(at, 1)[0] === id) return at;
  throw new Error(`there is no capability ${id}`);
}
