/**
 * Requester ids: where on the machine's buses each function is.
 *
 * A function is where its `--device` argument puts it; else at the next free place of root bus 6a or, behind
 * a port, alone on the next bus that nobody has named. Invariants: no two have the same; a bus is behind a
 * port for all of its functions or for none, and there they are functions of device 0, as PCI Express has it.
 */
import { refuse } from '../linux/errno.js';

const ROOT_BUS = 0x6a;
const LAST_BUS = 0xff;

/** What one function asks for: a place (absent: any will do), and to be behind a port. */
export interface WantedPlace {
  readonly bdf?: string;
  readonly port?: boolean;
  /** Where that is written, as of PlacedSpec. */
  readonly from?: string;
}

/** The bus of `rid`: `0000:6a`. */
export function busNameOf(rid: string): string {
  return rid.slice(0, rid.lastIndexOf(':'));
}

/**
 * A requester id for each function, in the order of `wanted`.
 * @throws Refusal EEXIST when two ask for one; EINVAL for a place that is not behind a port as asked; ENOSPC
 * when a bus is full, or there is none.
 */
export function assignRids(wanted: readonly WantedPlace[]): string[] {
  const taken = new Set<string>();
  for (const { bdf, port = false, from } of wanted) {
    if (bdf === undefined) continue;
    if (taken.has(bdf)) refuse('EEXIST', `${begun(from)}two devices ask for bdf=${bdf}`);
    if (port && !/:00\.\d$/.test(bdf))
      refuse('EINVAL', `${begun(from)}bdf=${bdf}: behind a port there is device 00 alone, functions 0 to 7`);
    taken.add(bdf);
  }
  const places = { root: rootPlaces(taken), ports: portPlaces(taken) };
  const rids = wanted.map(({ bdf, port = false }) => bdf ?? (port ? places.ports : places.root).next().value);
  checkBuses(rids, wanted);
  return rids;
}

/** The free places of the root bus. */
function* rootPlaces(taken: ReadonlySet<string>): Generator<string, never> {
  for (let next = 1; next <= 255; next++) {
    const bdf = `0000:${hex(ROOT_BUS)}:${hex(next & 31)}.${next >>> 5}`;
    if (!taken.has(bdf)) yield bdf;
  }
  return refuse('ENOSPC', `bus 0000:${hex(ROOT_BUS)} has no room for another device`);
}

/** Function 0 on each bus after it that is free. */
function* portPlaces(taken: ReadonlySet<string>): Generator<string, never> {
  const buses = new Set([...taken].map(busNameOf));
  for (let bus = ROOT_BUS + 1; bus <= LAST_BUS; bus++) {
    const name = `0000:${hex(bus)}`;
    if (!buses.has(name)) yield `${name}:00.0`;
  }
  return refuse('ENOSPC', `behind bus 0000:${hex(ROOT_BUS)} there is no number for another bus`);
}

function checkBuses(rids: readonly string[], wanted: readonly WantedPlace[]): void {
  const ports = new Map<string, boolean>();
  for (const [n, rid] of rids.entries()) {
    const { port = false, from } = wanted[n]!;
    const name = busNameOf(rid);
    if ((ports.get(name) ?? port) !== port)
      refuse(
        'EINVAL',
        `${begun(from)}bus ${name} is behind a port for one of its functions, and not for another`,
      );
    ports.set(name, port);
  }
}

function begun(from: string | undefined): string {
  return from === undefined ? '' : `${from}: `;
}

function hex(number: number): string {
  return number.toString(16).padStart(2, '0');
}
