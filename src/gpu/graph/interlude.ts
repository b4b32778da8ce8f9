/**
 * Awaited between the parts of long work on the thread that also hears of everything else: lets other work run where it
 * is time for that, and throws where this work is to end.
 */
export type Interlude = () => Promise<void>;
