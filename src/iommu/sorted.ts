/** The place in `list` of the first for which `isBehind` holds: it holds for all that come after it. */
export function firstBehind<T>(list: readonly T[], isBehind: (one: T) => boolean): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBehind(list[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}
