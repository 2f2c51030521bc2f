/**
 * Subordinate users: uids that a user may take beside his own, by newuidmap(1) and as /etc/subuid says. There
 * are 65,536 of them for each on a usual Debian. Whoever is one of them is that user, where it is asked who
 * somebody is of those among whom something is shared.
 *
 * A uid that has a line in /etc/passwd is nobody else. Users that are known elsewhere (LDAP) are not looked
 * for. Who becomes one after the server's start is found when that file has changed.
 */
import { readFileSync, statSync } from 'node:fs';

const SUBUID = '/etc/subuid';
const PASSWD = '/etc/passwd';
/** So long nobody looks whether the file has changed. */
const LOOK_MS = 1000;

/** Uids from `first` on, before `end`, that user `owner` may take. */
interface Range {
  readonly first: number;
  readonly end: number;
  readonly owner: number;
}

let ranges: readonly Range[] = [];
let changed = Number.NaN;
let lookedAt = Number.NEGATIVE_INFINITY;

/** Whose uid `uid` is: its own, as a rule. */
export function ownerOf(uid: number): number {
  const now = performance.now();
  if (now - lookedAt > LOOK_MS) {
    lookedAt = now;
    look();
  }
  return ranges.find(({ first, end }) => uid >= first && uid < end)?.owner ?? uid;
}

function look(): void {
  const { mtimeMs } = statSync(SUBUID, { throwIfNoEntry: false }) ?? { mtimeMs: 0 };
  if (mtimeMs === changed) return;
  changed = mtimeMs;
  ranges = rangesIn(read(SUBUID), read(PASSWD));
}

/** What subuid(5) says, of users that passwd(5) knows, or that are given by number. */
export function rangesIn(subuid: string, passwd: string): readonly Range[] {
  const users = new Map(
    [...passwd.matchAll(/^([^:\n]+):[^:\n]*:(\d+):/gm)].map(([, name, uid]) => [name, +uid!]),
  );
  const uids = [...new Set(users.values())].sort((a, b) => a - b);
  return [...subuid.matchAll(/^([^:\n]+):(\d+):(\d+)$/gm)].flatMap(([, name, first, count]) => {
    const owner = users.get(name) ?? (/^\d+$/.test(name!) ? Number(name) : undefined);
    return owner === undefined ? [] : without(uids, { first: +first!, end: +first! + +count!, owner });
  });
}

/** The parts of `range` between `uids`, which rise. */
function without(uids: readonly number[], { first, end, owner }: Range): readonly Range[] {
  const inside = uids.filter((uid) => uid >= first && uid < end);
  const [starts, ends] = [
    [first, ...inside.map((uid) => uid + 1)],
    [...inside, end],
  ];
  return starts.map((start, n) => ({ first: start, end: ends[n]!, owner }));
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
