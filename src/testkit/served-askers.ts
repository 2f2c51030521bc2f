/** A test process that serves those who ask it, as servers do: by an event loop, in its own thread. */
import { askers } from '../cli/control-socket.js';
import { runLoop } from '../linux/event-loop.js';

/** Serves them until what is returned is called. */
export function serveAskers(): () => void {
  const stop = new AbortController();
  const source = askers();
  // Not passive: the loop goes on for its sake.
  const served = { fd: source.fd, ready: (between: () => boolean) => source.ready(between) };
  void runLoop([served], () => false, { signal: stop.signal });
  return () => stop.abort();
}
