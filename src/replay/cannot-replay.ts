/** What a replay depends on that the recording, or this ioasid, does not have: one sentence. */
export class CannotReplay extends Error {}
